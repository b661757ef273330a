# What Atelier needs of AWS, for ops/kuberay: a private network, Postgres, Valkey, a bucket, EKS.

module "network" {
  source = "./modules/network"
  name   = var.name
  region = var.region
  cidr   = var.cidr
  zones  = var.zones
}

module "kubernetes" {
  source         = "./modules/kubernetes"
  name           = var.name
  subnet_ids     = module.network.private_subnet_ids
  operator_cidrs = var.operator_cidrs
  gpu_type       = var.gpu_type
  max_reserved   = var.max_reserved
  max_spot       = var.max_spot
}

module "database" {
  source         = "./modules/database"
  name           = var.name
  vpc_id         = module.network.vpc_id
  subnet_ids     = module.network.private_subnet_ids
  client_group   = module.kubernetes.node_security_group_id
  instance_class = var.database_class
}

# The queue and the events.
module "queue" {
  source       = "./modules/cache"
  name         = "${var.name}-queue"
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.private_subnet_ids
  client_group = module.kubernetes.node_security_group_id
  node_type    = var.cache_type
}

# What Ray's head knows (GCS fault tolerance), apart from the service's own.
module "gcs" {
  source       = "./modules/cache"
  name         = "${var.name}-gcs"
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.private_subnet_ids
  client_group = module.kubernetes.node_security_group_id
  node_type    = "cache.t4g.small"
}

module "bucket" {
  source                = "./modules/bucket"
  name                  = var.name
  browser_origins       = var.browser_origins
  infrequent_after_days = var.infrequent_after_days
  outputs_expire_days   = var.outputs_expire_days
}
