"""Tables for operators: the audit log and the GPU statistics."""
