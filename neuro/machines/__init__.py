"""The same workload on other machines: GPU, TPU, FPGA, CPU, microcontroller."""
