internal import Glibc

/// A queue between threads as programs mostly have it: a mutex, a condition, and a ring that grows. Python's `queue.Queue`.
package final class ThreadQueue<Element>: @unchecked Sendable {
    // Unchecked: all mutable state is used under `mutex`.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let filled = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var ring: [Element?] = Array(repeating: nil, count: 64)
    private var head = 0
    private var count = 0

    package init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(filled, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(filled)
        mutex.deallocate()
        filled.deallocate()
    }

    package func put(_ element: Element) {
        pthread_mutex_lock(mutex)
        if count == ring.count {
            ring = (0..<count).map { ring[(head + $0) & (ring.count - 1)] } + Array(repeating: nil, count: count)
            head = 0
        }
        ring[(head + count) & (ring.count - 1)] = element
        count += 1
        pthread_cond_signal(filled)
        pthread_mutex_unlock(mutex)
    }

    package func get() -> Element {
        pthread_mutex_lock(mutex)
        while count == 0 { pthread_cond_wait(filled, mutex) }
        let element = ring[head]!
        ring[head] = nil
        head = (head + 1) & (ring.count - 1)
        count -= 1
        pthread_mutex_unlock(mutex)
        return element
    }
}
