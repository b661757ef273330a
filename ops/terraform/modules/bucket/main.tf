variable "name" { type = string }
variable "browser_origins" { type = list(string) }
variable "infrequent_after_days" { type = number }
variable "outputs_expire_days" { type = number }

resource "random_id" "suffix" {
  byte_length = 4
}

resource "aws_s3_bucket" "this" {
  bucket = "${var.name}-${random_id.suffix.hex}"
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# The same rules as ops/s3/lifecycle.json. The service sets the first two at every start, and would take the
# others away: its keys (below) may not, and it logs `object_store_lacks` once and goes on.
resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket     = aws_s3_bucket.this.id
  depends_on = [aws_s3_bucket_versioning.this]

  rule {
    id     = "temp"
    status = "Enabled"
    filter {
      prefix = "temp/"
    }
    expiration {
      days = 1
    }
    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }
  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {
      prefix = ""
    }
    noncurrent_version_expiration {
      noncurrent_days = 7
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
  rule {
    id     = "outputs-infrequent"
    status = "Enabled"
    filter {
      prefix = "outputs/"
    }
    transition {
      days          = var.infrequent_after_days
      storage_class = "STANDARD_IA"
    }
  }
  dynamic "rule" {
    for_each = var.outputs_expire_days > 0 ? [var.outputs_expire_days] : []
    content {
      id     = "outputs-expire"
      status = "Enabled"
      filter {
        prefix = "outputs/"
      }
      expiration {
        days = rule.value
      }
    }
  }
}

# Browsers send the parts of an upload here.
resource "aws_s3_bucket_cors_configuration" "this" {
  count  = length(var.browser_origins) > 0 ? 1 : 0
  bucket = aws_s3_bucket.this.id
  cors_rule {
    allowed_methods = ["GET", "HEAD", "POST"]
    allowed_origins = var.browser_origins
    allowed_headers = ["*"]
    expose_headers  = ["ETag"]
    max_age_seconds = 3600
  }
}

data "aws_iam_policy_document" "tls" {
  statement {
    sid       = "NoPlainHttp"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "tls" {
  bucket     = aws_s3_bucket.this.id
  policy     = data.aws_iam_policy_document.tls.json
  depends_on = [aws_s3_bucket_public_access_block.this]
}

# What db/object_store.py calls, and no more: not the bucket's rules, which are set above.
data "aws_iam_policy_document" "service" {
  statement {
    sid       = "Bucket"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"]
    resources = [aws_s3_bucket.this.arn]
  }
  statement {
    sid = "Objects"
    actions = [
      "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion",
      "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
    ]
    resources = [
      for prefix in ["inputs", "outputs", "references", "temp"] : "${aws_s3_bucket.this.arn}/${prefix}/*"
    ]
  }
}

resource "aws_iam_policy" "service" {
  name   = "${var.name}-bucket"
  policy = data.aws_iam_policy_document.service.json
}

output "name" { value = aws_s3_bucket.this.bucket }
output "policy_arn" { value = aws_iam_policy.service.arn }
