/// Tries out, before the first closure is sent, whether functions are laid out as this library believes.
///
/// Everything here rests on the runtime's layout. Should a later toolchain change it, this turns wild jumps in a child
/// into an error in the parent.
enum ClosureCanary {
    private static let failure: ClosureError? = run()

    static func check() throws(ClosureError) {
        if let failure { throw failure }
    }

    private static func run() -> ClosureError? {
        let number = 7 + (CommandLine.argc > 100_000 ? 1 : 0)
        let text = String(repeating: "canary ", count: number)
        do {
            let rebuilt = try copy(SynchronousBody(function: closure(number, text, [number, number + 1])))
            guard try rebuilt.function() == closure(number, text, [number, number + 1])() else {
                return changed("a rebuilt closure returned something else")
            }
            return nil
        } catch {
            return changed("\(error)")
        }
    }

    private static func copy<Body: FunctionBody>(_ body: Body) throws -> Body {
        var writer = ClosureWriter()
        try writer.put(body: body)
        return try writer.finish().withUnsafeBytes { bytes in
            var reader = try ClosureReader(bytes)
            return try reader.body(Body.self)
        }
    }

    /// A closure that captures a trivial value, a counted one, a lone array, and another closure.
    @inline(never) @_optimize(none)
    private static func closure(_ number: Int, _ text: String, _ list: [Int]) -> @Sendable () throws -> String {
        let inner: @Sendable () -> Int = { list.reduce(0, +) }
        return { "\(number) \(text) \(inner())" }
    }

    private static func changed(_ what: String) -> ClosureError {
        ClosureError(
            .runtimeLayoutChanged,
            reason: "closures cannot travel with this version of the Swift runtime: \(what)",
            remedy: "use a version of the library made for this toolchain"
        )
    }
}
