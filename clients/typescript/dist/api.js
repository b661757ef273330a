// Written by `python -m scripts.typescript` from the OpenAPI document of the service.
/** Calls that take an `Idempotency-Key`. */
export const CREATIONS = new Set([
    "POST /v1/api-keys",
    "POST /v1/billing/checkout",
    "POST /v1/jobs",
    "POST /v1/jobs/{job_id}/retry",
    "POST /v1/personas",
    "POST /v1/webhooks/secret",
    "POST /v1/admin/users/{user_id}/grants",
    "POST /v1/admin/jobs/{job_id}/retry",
]);
