"""Early-exit networks: backbones as chains of blocks, exit blocks, where exits go, what they cost, how they run."""
