import Multiprocessing
import Testing

extension ProcessTests {
    /// CPython's own tests of events.
    @Suite struct EventPythonTests {
        // CPython: _TestEvent.test_event
        @Test(arguments: Backend.allCases) func event(backend: Backend) async throws {
            let event = try Event()
            try await onThread {
                try check(!event.isSet)
                try check(try event.wait(timeout: .zero), is: false)
                let start = ContinuousClock.now
                try check(try event.wait(timeout: .milliseconds(100)), is: false)
                try check(ContinuousClock.now - start >= .milliseconds(100))

                event.set()
                try check(event.isSet)
                try check(try event.wait())
                try check(try event.wait(timeout: .milliseconds(100)))
                try check(event.isSet)

                event.clear()
                try check(!event.isSet)
                let other = try backend.run {
                    pause(.milliseconds(100))
                    event.set()
                }
                try check(try event.wait())
                try other.value()
            }
        }

        // CPython: _TestEvent.test_repr
        @Test func representation() throws {
            let event = try Event()
            #expect("\(event)" == "<Event unset>")
            event.set()
            #expect("\(event)" == "<Event set>")
            event.clear()
            #expect("\(event)" == "<Event unset>")
        }
    }
}
