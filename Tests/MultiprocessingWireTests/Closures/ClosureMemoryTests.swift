import MultiprocessingWire
import Synchronization
import Testing

private let live = Atomic(0)

/// Counts its instances, and can be told to fail when it is decoded.
private final class Counted: Codable, Sendable {
    let mayBeDecoded: Bool

    init(mayBeDecoded: Bool = true) {
        self.mayBeDecoded = mayBeDecoded
        live.add(1, ordering: .relaxed)
    }
    init(from decoder: any Decoder) throws {
        mayBeDecoded = try decoder.singleValueContainer().decode(Bool.self)
        live.add(1, ordering: .relaxed)
        if !mayBeDecoded { throw Refusal() }
    }
    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(mayBeDecoded)
    }
    deinit { live.subtract(1, ordering: .relaxed) }
}
private struct Refusal: Error {}

private struct Holder<T: Codable & Sendable>: Codable, Sendable { var held: T }

@inline(never) @_optimize(none)
private func opaque<T>(_ value: T) -> T { value }

private func rebuilt<R>(_ body: @escaping @Sendable () throws -> R) throws -> @Sendable () throws -> R {
    try encodeClosure(body).withUnsafeBytes { try decodeClosure($0, as: R.self) }
}

// One suite, one at a time: they share the counter.
@Suite(.serialized) struct ClosureMemoryTests {
    private func expectNothingLeft(_ body: () throws -> Void) rethrows {
        let before = live.load(ordering: .relaxed)
        try body()
        #expect(live.load(ordering: .relaxed) == before)
    }

    @Test func loneObjectIsFreed() throws {
        try expectNothingLeft {
            let object = opaque(Counted())
            let copy = try rebuilt { object.mayBeDecoded }
            #expect(try copy())
            #expect(live.load(ordering: .relaxed) == 2)
        }
    }

    @Test func capturesAreFreed() throws {
        try expectNothingLeft {
            let (object, text, list) = (
                opaque(Counted()), opaque("a long enough string"), opaque([Counted(), Counted()])
            )
            for _ in 0..<10 {
                let copy = try rebuilt { "\(object.mayBeDecoded)\(text)\(list.count)" }
                #expect(try copy() == "truea long enough string2")
            }
        }
    }

    @Test func boxesArraysAndNestedClosuresAreFreed() throws {
        try expectNothingLeft {
            let list = opaque([Counted()])
            nonisolated(unsafe) var box = opaque(Counted())
            let inner: @Sendable () -> Int = { list.count }
            let outer: @Sendable () -> Int = {
                box = list[0]
                return inner() + (box.mayBeDecoded ? 1 : 0)
            }
            for _ in 0..<10 {
                let copy = try rebuilt { inner() + outer() }
                #expect(try copy() == 3)
            }
        }
    }

    @inline(never) @_optimize(none)
    private func useGenerically<T: Codable & Sendable>(_ value: T) throws {
        nonisolated(unsafe) var box = value
        let hold: @Sendable () -> Holder<T> = { Holder(held: value) }
        let any: any Codable & Sendable = opaque(Holder(held: value))
        for _ in 0..<10 {
            let copy = try rebuilt {
                box = hold().held
                return "\(type(of: any))\([box].count)"
            }
            #expect(try copy().hasSuffix("1"))
        }
    }

    @Test func genericContextsAreFreed() throws {
        try expectNothingLeft {
            try useGenerically(Counted())
            try useGenerically([Counted()])
        }
    }

    @Test func failureHalfWayReleasesWhatWasRead() {
        expectNothingLeft {
            let (first, second, last) = (opaque(Counted()), opaque([Counted()]), opaque(Counted(mayBeDecoded: false)))
            let inner: @Sendable () -> Int = { second.count }
            #expect(throws: ClosureError.self) {
                _ = try rebuilt { first.mayBeDecoded && inner() > 0 && last.mayBeDecoded }
            }
        }
    }

    @Test func argumentsAndResultsAreFreed() throws {
        try expectNothingLeft {
            let object = opaque(Counted())
            let job = try Job(decoding: Job.encode(body: { @Sendable (other: Counted) in [object, other] }))
            for _ in 0..<10 {
                let result = try job.runSynchronously(arguments: Job.encodeArguments(Counted()))
                #expect(try Job.decodeResult(result, as: [Counted].self).count == 2)
            }
        }
    }

    @Test func manyThreadsEncodeAndDecodeAtOnce() async throws {
        let (number, object) = (opaque(3), opaque(Counted()))
        let body: @Sendable () -> Int = { object.mayBeDecoded ? number : 0 }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    var sum = 0
                    for _ in 0..<200 { sum += try rebuilt(body)() }
                    return sum
                }
            }
            for try await sum in group { #expect(sum == 600) }
        }
        withExtendedLifetime(object) {}
    }
}
