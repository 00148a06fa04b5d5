internal import Glibc

/// A real thread, as Python's `Thread` is one: a POSIX thread per worker, no pool.
package struct PlainThread: Sendable {
    private let thread: pthread_t
    private let work: Work

    /// What the thread runs and how it ended.
    ///
    /// Unchecked: the thread alone writes `failure`, and only `join`, which waits for its end, lets anyone read it.
    private final class Work: @unchecked Sendable {
        let body: @Sendable () throws -> Void
        var failure: (any Error)?

        init(_ body: @escaping @Sendable () throws -> Void) {
            self.body = body
        }
    }

    /// Creates and starts the thread.
    package init(_ body: @escaping @Sendable () throws -> Void) throws(BenchmarkError) {
        work = Work(body)
        var thread = pthread_t()
        // One count goes with the pointer; the thread takes it over.
        let context = Unmanaged.passRetained(work)
        let result = pthread_create(
            &thread,
            nil,
            { context in
                let work = Unmanaged<Work>.fromOpaque(context!).takeRetainedValue()
                do { try work.body() } catch { work.failure = error }
                return nil
            },
            context.toOpaque()
        )
        guard result == 0 else {
            context.release()
            throw BenchmarkError.system("make a thread", errnoValue: result)
        }
        self.thread = thread
    }

    /// Waits for the thread's end and throws what its body threw; to be called once.
    package func join() throws {
        pthread_join(thread, nil)
        if let failure = work.failure { throw failure }
    }
}
