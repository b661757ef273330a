output "cluster_name" {
  description = "aws eks update-kubeconfig --name ..."
  value       = module.kubernetes.name
}

output "database_address" {
  value = module.database.address
}

output "database_secret_arn" {
  description = "The master's password, made and rotated by RDS. Make the service a user of its own."
  value       = module.database.secret_arn
}

output "queue_address" {
  value = module.queue.address
}

output "queue_token" {
  value     = module.queue.token
  sensitive = true
}

output "gcs_redis" {
  description = "redisAddress of the RayService."
  value       = "rediss://${module.gcs.address}:6379"
}

output "gcs_token" {
  value     = module.gcs.token
  sensitive = true
}

output "bucket" {
  value = module.bucket.name
}

output "service_policy_arn" {
  description = "What the service may do with the bucket: for the user whose keys are S3_ACCESS_KEY."
  value       = module.bucket.policy_arn
}
