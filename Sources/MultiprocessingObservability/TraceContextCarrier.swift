public import Instrumentation
public import Multiprocessing

/// Has the service context of the code that submits a task go on in the worker, by way of the tracer in use.
///
/// In the program once its tracer is set up, and in the initialiser of the workers, which are processes of their own with a tracer of
/// their own:
///
///     InstrumentationSystem.bootstrap(tracer)
///     TaskBaggage.install(TraceContextCarrier())
///
/// A task then runs with the `ServiceContext.current` that the tracer makes of what was injected where it was submitted, so that spans
/// of the task are children of the one that was open there. With ``PoolOptions/Backend/threads`` once for the process is enough.
///
/// Costs what the tracer's `inject` and `extract` cost: the one for a task and the other in its worker; for a map, once and once for a
/// chunk. Where no context is current nothing is sent.
public struct TraceContextCarrier: TaskContextCarrier {
    private let chosen: (any Instrument)?

    /// Makes a carrier.
    ///
    /// - Parameter instrument: what injects and extracts; nil is what `InstrumentationSystem` is bootstrapped with at that time.
    public init(instrument: (any Instrument)? = nil) {
        chosen = instrument
    }

    private var instrument: any Instrument { chosen ?? InstrumentationSystem.instrument }

    /// Has the tracer write the current service context into the baggage; nothing if there is none.
    public func inject(into baggage: inout [String: String]) {
        guard let context = InstrumentationContext.current else { return }
        instrument.inject(context, into: &baggage, using: BaggageInjector())
    }

    /// Runs `body` with the service context that the tracer reads from the baggage. Throws what `body` throws.
    public func withContext<R>(from baggage: [String: String], _ body: () async throws -> R) async throws -> R {
        var context = InstrumentationContext.current ?? .topLevel
        instrument.extract(baggage, into: &context, using: BaggageExtractor())
        return try await InstrumentationContext.$current.withValue(context) { try await body() }
    }
}

private struct BaggageInjector: Injector {
    func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) { carrier[key] = value }
}

private struct BaggageExtractor: Extractor {
    func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
}
