"""Postgres, Valkey and SeaweedFS from wheels, for machines without configured stores."""
