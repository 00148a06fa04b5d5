// The variable that makes this executable leave before `main`.
#define BARE_VARIABLE "MPBENCH_BARE"
