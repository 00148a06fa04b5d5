import Glibc
import Multiprocessing
import Synchronization
import SystemPackage
import Testing

extension ProcessTests {
    /// Waits that once ended wrongly, or not at all.
    @Suite struct WaitingRegressions {
        /// A time that was over before the task began to wait was taken for a cancellation, which ends the child.
        @Test func shortTimeoutIsNoCancellation() async throws {
            let child = try ChildProcess { sleepForever() }
            try child.start()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        for _ in 0..<1500 { try await check(!child.join(timeout: .nanoseconds(1)), "it ended") }
                    }
                }
                try await group.waitForAll()
            }
            #expect(child.isAlive)
            try child.kill()
            try await child.join()
        }

        /// The sum of the longest timeout and the present overflowed.
        @Test(arguments: [Duration.seconds(Int64.max), .seconds(Int64.max) * 2, .seconds(Int64.max / 2)])
        func endlessTimeout(timeout: Duration) async throws {
            let child = try ChildProcess { 1 }
            try child.start()
            #expect(try await child.join(timeout: timeout))
            let other = try ChildProcess { 2 }
            try other.start()
            #expect(try await onThread { try other.join(timeout: timeout) })
        }

        /// Threads in join polled a pipe that another thread had closed: EBADF.
        @Test func manyJoinersAtOnce() async throws {
            for _ in 0..<150 {
                let child = try ChildProcess {
                    close(2)
                    usleep(UInt32.random(in: 0..<300))
                }
                try child.start()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<3 { group.addTask { _ = try await onThread { try child.join() } } }
                    group.addTask { try await onThread { while child.isAlive {} } }
                    try await group.waitForAll()
                }
            }
        }

        /// The end was known from the channel alone, which a program that the body left behind can hold.
        @Test(arguments: StartMethod.allCases, [true, false])
        func programLeftBehind(method: StartMethod, holdsEverything: Bool) async throws {
            let child = try ChildProcess(arguments: holdsEverything, startMethod: method) { holdsEverything in
                if holdsEverything { for number in openDescriptors() { _ = fcntl(number, F_SETFD, 0) } }
                try leaveBehindSleeper(seconds: 8)
                return 5
            }
            let start = ContinuousClock.now
            try child.start()
            let looked = Task {
                try await eventually(within: .seconds(4)) { !child.isAlive }
            }
            #expect(try await child.value == 5)
            #expect(try await looked.value)
            #expect(ContinuousClock.now - start < .seconds(4))
        }

        /// pidfd_open fails for a child that the kernel reaped at that moment: join threw ESRCH.
        @Test func ignoredChildSignal() async throws {
            try await isolated {
                signal(SIGCHLD, SIG_IGN)
                for _ in 0..<300 {
                    let child = try ChildProcess { 1 }
                    try child.start()
                    usleep(UInt32.random(in: 100..<900))
                    try check(child.waitForValue(timeout: .seconds(20)), is: 1)
                }
            }
        }

        /// A forked copy read its sibling's result, and took the original's watches out of the shared epoll.
        @Test func forkedCopyLeavesSiblingsAlone() async throws {
            try await isolated {
                let sibling = try ChildProcess {
                    pause(.milliseconds(300))
                    return 7
                }
                try sibling.start()
                let copy = try ChildProcess(startMethod: .fork) {
                    let end = ContinuousClock.now + .milliseconds(600)
                    while ContinuousClock.now < end { _ = sibling.isAlive }
                    try check(throws: .wrongProcess) { try sibling.handle.join() }
                }
                try copy.start()
                try copy.waitForValue(timeout: .seconds(10))
                try check(sibling.waitForValue(timeout: .seconds(10)), is: 7)
                try check(sibling.exitStatus, is: .exited(0))
            }
        }
    }
}

/// Starts a program in a session of its own, out of reach for whoever ends this process's group.
private func leaveBehindSleeper(seconds: Int) throws {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, 0x80)  // POSIX_SPAWN_SETSID
    var pid: pid_t = 0
    let words: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("\(seconds)"), nil]
    try check(posix_spawn(&pid, "/bin/sleep", nil, &attributes, words, environ), is: 0)
}
