internal import Glibc

/// What a queue between threads is mostly made of: a mutex, a condition, and a ring that grows. The yardstick for a queue
/// between processes.
final class ThreadQueue<Element>: @unchecked Sendable {
    // Unchecked: all mutable state is used under `mutex`.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let filled = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var ring: [Element?] = Array(repeating: nil, count: 1024)
    private var head = 0
    private var count = 0

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(filled, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(filled)
        mutex.deallocate()
        filled.deallocate()
    }

    func put(_ element: Element) {
        pthread_mutex_lock(mutex)
        if count == ring.count { grow() }
        ring[(head + count) & (ring.count - 1)] = element
        count += 1
        if count == 1 { pthread_cond_signal(filled) }
        pthread_mutex_unlock(mutex)
    }

    func get() -> Element {
        pthread_mutex_lock(mutex)
        while count == 0 { pthread_cond_wait(filled, mutex) }
        let element = ring[head]!
        ring[head] = nil
        head = (head + 1) & (ring.count - 1)
        count -= 1
        // One signal is given for each time it fills: whoever leaves something wakes the next.
        if count > 0 { pthread_cond_signal(filled) }
        pthread_mutex_unlock(mutex)
        return element
    }

    private func grow() {
        let elements = (0..<count).map { ring[(head + $0) & (ring.count - 1)] }
        ring = elements + Array(repeating: nil, count: ring.count)
        head = 0
    }
}

/// Runs `body` on a thread of its own; the caller waits for it with the value that is returned.
func startThread(_ body: @escaping @Sendable () -> Void) throws -> () -> Void {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let error = pthread_create(
        &thread,
        nil,
        { argument in
            Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        },
        box.toOpaque()
    )
    guard error == 0 else {
        box.release()
        throw BenchmarkError("no thread: errno \(error)")
    }
    let started = thread
    return { pthread_join(started, nil) }
}
