"""The search: space, samplers, pruners, bridge, Ray adapters, storage and lease."""
