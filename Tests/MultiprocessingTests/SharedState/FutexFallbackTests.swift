import Foundation
import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// Waiting where the kernel, or a sandbox, refuses to let one sleep on several words.
    @Suite struct FutexFallbackTests {
        @Test(arguments: [ENOSYS, EPERM]) func severalWordsAtOnce(error: Int32) async throws {
            try await isolated { () async throws -> Void in
                try refuseFutexWaitv(error)
                let (one, two, event) = (try Queue<Int>(), try Queue<Int>(), try Event())
                let tasks = try await waitAny(of: [one, two], timeout: .milliseconds(20))
                try check(tasks, is: [])
                let threads = try await onThread { try waitAny(of: [one, two], timeout: .milliseconds(20)) }
                try check(threads, is: [])
                async let found = waitAny(of: [one, two], timeout: .seconds(20))
                async let foundByThread = onThread { try waitAny(of: [one, two], timeout: .seconds(20)) }
                async let isSet = event.wait(timeout: .seconds(20))
                try await Task.sleep(for: .milliseconds(20))
                try await two.put(1)
                event.set()
                try await check(found, is: [1])
                try await check(foundByThread, is: [1])
                try await check(isSet)
            }
        }
    }
}

/// Has the kernel refuse the call from now on, to all threads of this process.
private func refuseFutexWaitv(_ error: Int32) throws {
    typealias Prctl = @convention(c) (Int32, UInt, UInt, UInt, UInt) -> Int32
    typealias Call = @convention(c) (Int, UInt, UInt, UnsafeRawPointer) -> Int
    let prctl = unsafeBitCast(try #require(dlsym(nil, "prctl")), to: Prctl.self)
    let call = unsafeBitCast(try #require(dlsym(nil, "syscall")), to: Call.self)
    #if arch(x86_64)
        let seccomp = 317
    #else
        let seccomp = 277
    #endif
    // PR_SET_NO_NEW_PRIVS; then SECCOMP_SET_MODE_FILTER for all threads.
    try check(prctl(38, 1, 0, 0, 0), is: 0)
    /// A `struct sock_filter`.
    func instruction(_ code: UInt64, then yes: UInt64 = 0, else no: UInt64 = 0, _ value: UInt64) -> UInt64 {
        code | yes << 16 | no << 24 | value << 32
    }
    let filter = [
        instruction(0x20, 0),  // the call's number
        instruction(0x15, else: 1, 449),
        instruction(0x06, 0x0005_0000 | UInt64(error)),
        instruction(0x06, 0x7fff_0000),
    ]
    try filter.withUnsafeBytes { filter in
        let program = (UInt(4), filter.baseAddress!)
        try check(withUnsafeBytes(of: program) { call(seccomp, 1, 1, $0.baseAddress!) }, is: 0)
    }
}
