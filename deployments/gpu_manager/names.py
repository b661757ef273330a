"""What other deployments know of the GPU managers without importing them."""

# The name of the deployment in Ray Serve.
GPU_MANAGER = "gpu_manager"
# What a manager claims of a GPU. It is more than a half, so that Ray places no two on one card;
# twelve replicas of generators (0.04 each) fit beside it. It says nothing of memory: a manager uses
# all of it.
GPU_SHARE = 0.52
