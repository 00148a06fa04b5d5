// POSIX building blocks.
