"""The subcommands, one group a file: ``add_parser`` adds its arguments, ``run`` does it."""
