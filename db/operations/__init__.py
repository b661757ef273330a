"""What operators read: the audit log and the GPU statistics."""
