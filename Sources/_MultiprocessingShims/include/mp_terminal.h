// A line on a terminal that is to vanish when a signal ends the process. Not Swift: a signal handler must not enter its runtime.
#pragma once

/// The columns of a terminal; 0 if it has none to tell of, or `fd` is no terminal.
int _mp_terminal_columns(int fd);
/// Whether `fd` is a terminal.
int _mp_is_terminal(int fd);

/// Has SIGINT, SIGTERM and SIGHUP erase the line of `fd` at which the cursor is before they end this process, where they would end it.
void _mp_line_begin(int fd);
/// No more.
void _mp_line_end(void);
