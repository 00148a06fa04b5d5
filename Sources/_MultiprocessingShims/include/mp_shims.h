// What the Swift layers need from C: see each header for why it is not Swift.
#pragma once
#include "mp_closures.h"
