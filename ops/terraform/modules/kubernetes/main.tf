variable "name" { type = string }
variable "subnet_ids" { type = list(string) }
variable "operator_cidrs" { type = list(string) }
variable "gpu_type" { type = string }
variable "max_reserved" { type = number }
variable "max_spot" { type = number }

data "aws_iam_policy_document" "assume" {
  for_each = toset(["eks", "ec2"])
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "cluster" {
  name               = "${var.name}-cluster"
  assume_role_policy = data.aws_iam_policy_document.assume["eks"].json
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
}

# Nodes join, set up their network and read images. What the service may do comes with its own keys.
resource "aws_iam_role" "node" {
  name               = "${var.name}-node"
  assume_role_policy = data.aws_iam_policy_document.assume["ec2"].json
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset([
    "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly",
  ])
  role       = aws_iam_role.node.name
  policy_arn = "arn:aws:iam::aws:policy/${each.key}"
}

resource "aws_kms_key" "secrets" {
  description         = "Secrets of Kubernetes, ${var.name}"
  enable_key_rotation = true
}

resource "aws_eks_cluster" "this" {
  name                      = var.name
  role_arn                  = aws_iam_role.cluster.arn
  enabled_cluster_log_types = ["api", "audit", "authenticator"]
  access_config {
    authentication_mode = "API"
  }
  vpc_config {
    subnet_ids              = var.subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = true
    public_access_cidrs     = var.operator_cidrs
  }
  encryption_config {
    resources = ["secrets"]
    provider {
      key_arn = aws_kms_key.secrets.arn
    }
  }
  depends_on = [aws_iam_role_policy_attachment.cluster]
}

# NetworkPolicies are enforced only if the network plugin is told to.
resource "aws_eks_addon" "vpc_cni" {
  cluster_name         = aws_eks_cluster.this.name
  addon_name           = "vpc-cni"
  configuration_values = jsonencode({ enableNetworkPolicy = "true" })
}

# A metadata service that answers no pod: with two hops it would hand out the node's credentials.
resource "aws_launch_template" "node" {
  for_each = local.groups
  name     = "${var.name}-${each.key}"
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size = each.value.disk_gb
      volume_type = "gp3"
      encrypted   = true
    }
  }
}

locals {
  # The groups of cluster.yaml. Kubernetes' own autoscaler starts machines for the pods of KubeRay's
  # groups of the same kind.
  groups = {
    service = {
      type = "m7i.2xlarge", ami = "AL2023_x86_64_STANDARD", capacity = "ON_DEMAND", min = 2, max = 4, disk_gb = 100, gpu = false
    }
    gpu-reserved = {
      type = var.gpu_type, ami = "AL2023_x86_64_NVIDIA", capacity = "ON_DEMAND", min = 1, max = var.max_reserved, disk_gb = 300, gpu = true
    }
    gpu-spot = {
      type = var.gpu_type, ami = "AL2023_x86_64_NVIDIA", capacity = "SPOT", min = 0, max = var.max_spot, disk_gb = 300, gpu = true
    }
  }
}

resource "aws_eks_node_group" "this" {
  for_each        = local.groups
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnet_ids
  ami_type        = each.value.ami
  capacity_type   = each.value.capacity
  instance_types  = [each.value.type]
  launch_template {
    id      = aws_launch_template.node[each.key].id
    version = aws_launch_template.node[each.key].latest_version
  }
  scaling_config {
    min_size     = each.value.min
    desired_size = each.value.min
    max_size     = each.value.max
  }
  dynamic "taint" {
    for_each = each.value.gpu ? ["nvidia.com/gpu"] : []
    content {
      key    = taint.value
      value  = "true"
      effect = "NO_SCHEDULE"
    }
  }
  lifecycle {
    # The autoscaler's to change.
    ignore_changes = [scaling_config[0].desired_size]
  }
  depends_on = [aws_iam_role_policy_attachment.node]
}

output "name" { value = aws_eks_cluster.this.name }
output "node_security_group_id" {
  value = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}
