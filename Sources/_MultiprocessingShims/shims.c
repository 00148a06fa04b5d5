#include "mp_shims.h"
