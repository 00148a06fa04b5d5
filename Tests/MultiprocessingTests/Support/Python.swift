import Foundation
import Testing

/// The other side of interoperation: a Python program, if the machine has Python.
enum Python {
    static let isAvailable = (try? run("print(1)")) == "1\n"
    static let hasNumPy = (try? run("import numpy; print(1)")) == "1\n"
    static let missing: Comment = "python3 is not installed: nothing about Python was tested"
    static let noNumPy: Comment = "NumPy is not installed: nothing about it was tested"

    /// Python before 3.13 removes, at its end, every segment that it ever attached to: not with this line after it.
    static let forget = """
        from multiprocessing import resource_tracker
        def forget(shm): resource_tracker.unregister("/" + shm.name, "shared_memory")

        """

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Runs a script; returns what it printed.
    static func run(_ script: String, _ arguments: String..., limit: Double = 30) throws -> String {
        let scenario = try Scenario(["python3", "-c", script] + arguments, path: "/usr/bin/env", limit: limit)
        let end = scenario.finish()
        guard end.status == 0, !end.wasSignalled else { throw Failure(description: end.errors) }
        return end.output
    }
}
