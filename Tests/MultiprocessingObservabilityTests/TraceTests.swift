import Instrumentation
import Multiprocessing
import MultiprocessingObservability
import Testing

private enum TraceKey: InstrumentationContextKey {
    typealias Value = String
}

/// A tracer that knows traces by a name.
private struct NamedTraces: Instrument {
    func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier,
        into context: inout InstrumentationContext,
        using extractor: Extract
    ) where Extract.Carrier == Carrier {
        context[TraceKey.self] = extractor.extract(key: "trace", from: carrier)
    }

    func inject<Carrier, Inject: Injector>(
        _ context: InstrumentationContext,
        into carrier: inout Carrier,
        using injector: Inject
    ) where Inject.Carrier == Carrier {
        if let name = context[TraceKey.self] { injector.inject(name, forKey: "trace", into: &carrier) }
    }
}

/// Carries something of its own, next to the tracer; nothing in other tests of this process.
private struct Stamp: TaskContextCarrier {
    @TaskLocal static var current: String?

    func inject(into baggage: inout [String: String]) {
        if let current = Self.current { baggage["stamp"] = current }
    }

    func withContext<R>(from baggage: [String: String], _ body: () async throws -> R) async throws -> R {
        try await Self.$current.withValue(baggage["stamp"]) { try await body() }
    }
}

private func currentTrace() -> String { InstrumentationContext.current?[TraceKey.self] ?? "none" }

private func context(_ name: String) -> InstrumentationContext {
    var context = InstrumentationContext.topLevel
    context[TraceKey.self] = name
    return context
}

/// One after the other, because what is installed is of the whole process.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct TraceTests {
    @Test(arguments: [PoolOptions.Backend.processes, .threads])
    func theContextIsCurrentInTheWorker(backend: PoolOptions.Backend) async throws {
        var options = PoolOptions()
        options.backend = backend
        // Each takes the place of the one before.
        for _ in 0..<2 { TaskBaggage.install(TraceContextCarrier(instrument: NamedTraces())) }
        let install: @Sendable () throws -> Void = {
            TaskBaggage.install(TraceContextCarrier(instrument: NamedTraces()))
        }
        try await withPool(processes: 1, options: options, initializer: install) { pool async throws in
            try await InstrumentationContext.withValue(context("checkout")) {
                #expect(try await pool.apply { currentTrace() } == "checkout")
                let later = try await pool.apply { () async throws -> String in
                    await Task.yield()
                    return currentTrace()
                }
                #expect(later == "checkout")
                #expect(try await pool.map([1, 2]) { "\($0) \(currentTrace())" } == ["1 checkout", "2 checkout"])
                #expect(try await pool.apply { TaskBaggage.current } == ["trace": "checkout"])
            }
            #expect(try await pool.apply { currentTrace() } == "none")
            #expect(try await pool.apply { TaskBaggage.current.isEmpty })
        }
    }

    @Test func theBootstrappedInstrumentIsUsed() async throws {
        let bootstrap: @Sendable () throws -> Void = {
            InstrumentationSystem.bootstrap(NamedTraces())
            TaskBaggage.install(TraceContextCarrier())
        }
        try bootstrap()
        try await withPool(processes: 1, initializer: bootstrap) { pool async throws in
            try await InstrumentationContext.withValue(context("payment")) {
                let trace = try await pool.apply { currentTrace() }
                #expect(trace == "payment")
            }
        }
    }

    @Test func severalCarriersAreNested() async throws {
        let install: @Sendable () throws -> Void = {
            TaskBaggage.install(TraceContextCarrier(instrument: NamedTraces()))
            TaskBaggage.install(Stamp())
        }
        try install()
        try await withPool(processes: 1, initializer: install) { pool async throws in
            try await InstrumentationContext.withValue(context("refund")) {
                let found = try await Stamp.$current.withValue("2") {
                    try await pool.apply { currentTrace() + (Stamp.current ?? "") }
                }
                #expect(found == "refund2")
            }
        }
    }
}
