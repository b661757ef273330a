variable "name" {
  description = "Prefix of all names."
  type        = string
  default     = "atelier"
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "zones" {
  description = "Availability zones; at least two, of which GPUs are available in some."
  type        = list(string)
  validation {
    condition     = length(var.zones) >= 2
    error_message = "RDS and EKS need two zones."
  }
}

variable "cidr" {
  description = "The private network; NetworkPolicies and TRUSTED_PROXIES name 10.0.0.0/8."
  type        = string
  default     = "10.42.0.0/16"
}

variable "operator_cidrs" {
  description = "Networks from which the Kubernetes API is reached."
  type        = list(string)
  validation {
    condition     = !contains(var.operator_cidrs, "0.0.0.0/0")
    error_message = "Name your own networks."
  }
}

variable "browser_origins" {
  description = "Origins whose pages send files straight to the bucket (CORS_ORIGINS)."
  type        = list(string)
  default     = []
}

variable "database_class" {
  description = "Instance class of Postgres."
  type        = string
  default     = "db.m7g.large"
}

variable "cache_type" {
  description = "Node type of Valkey."
  type        = string
  default     = "cache.m7g.large"
}

variable "gpu_type" {
  description = "Instance type of GPU nodes; as in cluster.yaml."
  type        = string
  default     = "g6.2xlarge"
}

variable "max_reserved" {
  description = "The most reserved GPU nodes; as in cluster.yaml."
  type        = number
  default     = 4
}

variable "max_spot" {
  description = "The most spot GPU nodes; as in cluster.yaml."
  type        = number
  default     = 8
}

variable "infrequent_after_days" {
  description = "Outputs move to the infrequent tier after this; 30 at least, as S3 asks."
  type        = number
  default     = 30
}

variable "outputs_expire_days" {
  description = "Outputs are deleted after this; 0 keeps them until their owner deletes them."
  type        = number
  default     = 0
}
