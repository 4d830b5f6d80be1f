"""What a network costs: latency against latency, and peak memory, as ``bench.json`` holds them."""
