variable "name" { type = string }
variable "vpc_id" { type = string }
variable "subnet_ids" { type = list(string) }
variable "client_group" { type = string }
variable "node_type" { type = string }

resource "random_password" "token" {
  length  = 48
  special = false
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-valkey"
  description = "Valkey, from the nodes alone"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id            = aws_security_group.this.id
  description                  = "The nodes of the cluster"
  referenced_security_group_id = var.client_group
  from_port                    = 6379
  to_port                      = 6379
  ip_protocol                  = "tcp"
}

resource "aws_elasticache_parameter_group" "this" {
  name   = var.name
  family = "valkey8"
  # A queue is no cache: nothing may be dropped to make room.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

# One shard: all keys lie in one slot (docs/operations.md). The replica takes over when it dies; what
# was not copied yet is restored from Postgres.
resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "Valkey of ${var.name}"
  engine                     = "valkey"
  engine_version             = "8.1"
  node_type                  = var.node_type
  num_cache_clusters         = 2
  automatic_failover_enabled = true
  multi_az_enabled           = true
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  auth_token                 = random_password.token.result
  snapshot_retention_limit   = 3
}

output "address" { value = aws_elasticache_replication_group.this.primary_endpoint_address }
output "token" {
  value     = random_password.token.result
  sensitive = true
}
