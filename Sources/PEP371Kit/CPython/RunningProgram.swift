internal import Glibc
internal import Synchronization

/// Runs another program, hands over its output line by line, and can kill it from another thread.
///
/// The program gets a process group of its own, so that its children can be killed with it.
final class RunningProgram: Sendable {
    // Group id while the program runs, else 0. Locked, so that no group is killed after it was reaped.
    private let group = Mutex<pid_t>(0)

    /// Runs the program, found through `PATH`, to its end; returns the exit code, or 128 + signal.
    func run(_ arguments: [String], standardError: String, line handle: (Substring) -> Void) throws -> Int32 {
        let (readingEnd, writingEnd) = try makePipe()
        defer { close(readingEnd) }
        let pid: pid_t
        do {
            defer { close(writingEnd) }
            pid = try group.withLock { group in
                group = try spawn(arguments, standardOutput: writingEnd, standardError: standardError)
                return group
            }
        }
        forEachLine(of: readingEnd, handle)
        return wait(for: pid)
    }

    /// Kills the program and its children, if it runs.
    func kill() {
        group.withLock { group in
            if group > 0 { _ = Glibc.kill(-group, SIGKILL) }
        }
    }

    private func wait(for pid: pid_t) -> Int32 {
        // First without reaping: until `group` is cleared the number must not be given to anybody else.
        var information = siginfo_t()
        while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
        return group.withLock { group in
            // Whatever it left behind, such as a fork server, goes with it.
            _ = Glibc.kill(-pid, SIGKILL)
            group = 0
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
            let signal = status & 0x7f
            return signal == 0 ? (status >> 8) & 0xff : 128 + signal
        }
    }
}

private func spawn(_ arguments: [String], standardOutput: Int32, standardError: String) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, standardOutput, STDOUT_FILENO)
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, standardError, O_WRONLY | O_CREAT | O_TRUNC, 0o600)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    posix_spawnattr_setpgroup(&attributes, 0)

    var vector = arguments.map { strdup($0) } + [nil]
    defer { for argument in vector { free(argument) } }
    var pid: pid_t = 0
    let result = posix_spawnp(&pid, arguments[0], &actions, &attributes, &vector, environ)
    guard result == 0 else { throw BenchmarkError.system("start it", errnoValue: result) }
    return pid
}

private func forEachLine(of descriptor: Int32, _ handle: (Substring) -> Void) {
    var pending = ""
    var buffer = [UInt8](repeating: 0, count: 4_096)
    while true {
        let count = readSome(descriptor, into: &buffer)
        if count <= 0 { return }
        pending += String(decoding: buffer[..<count], as: UTF8.self)
        while let end = pending.firstIndex(of: "\n") {
            handle(pending[..<end])
            pending.removeSubrange(...end)
        }
    }
}
