// What the Swift layers need from C. Each header says why its part is not Swift.
#pragma once
#include "mp_closures.h"
#include "mp_entry.h"
#include "mp_kept.h"
#include "mp_load.h"
#include "mp_process.h"
#include "mp_segment.h"
#include "mp_shared.h"
#include "mp_signals.h"
#include "mp_sockets.h"
#include "mp_stack.h"
#include "mp_stream.h"
#include "mp_terminal.h"
