import Testing

@testable import MultiprocessingWire

@inline(never) @_optimize(none)
private func opaque<T>(_ value: T) -> T { value }

private enum Colour: Codable { case red, green }

/// Bytes of a closure with a bit of everything in it.
@inline(never) @_optimize(none)
private func sample<T: Codable & Sendable & Hashable>(_ generic: T) throws -> [UInt8] {
    let (number, text, list) = (opaque(3), opaque("text"), opaque([1, 2]))
    let (any, colour, type): (any Codable & Sendable, Colour, any Any.Type) = (
        opaque(["k": 1]), opaque(.green), opaque([Colour].self)
    )
    nonisolated(unsafe) var box = opaque(4)
    let inner: @Sendable () -> Int = { list.count }
    return try Job.encode { () -> String in
        box += inner()
        return "\(number)\(text)\(any)\(colour)\(type)\(box)\(Set([generic]))"
    }.joined()
}

@Suite struct ClosureHostileTests {
    @Test func everyTruncationIsRefused() throws {
        let bytes = try sample("generic")
        for count in 0..<bytes.count {
            #expect(throws: ClosureError.self) { _ = try Job(decoding: EncodedPieces(Array(bytes[..<count]))) }
        }
    }

    @Test func everyFlippedBitIsRefused() throws {
        let bytes = try sample("generic")
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= UInt8(1 << (index % 8))
            #expect(throws: ClosureError.self) { _ = try Job(decoding: EncodedPieces(damaged)) }
        }
    }

    /// With the checksum made right again, what is inside must be believed no more: nothing may trap. Such a job may
    /// be decoded, since a number in it is as good as another, but is not run.
    @Test func forgedChecksumsAreNotTrusted() throws {
        let bytes = try sample("generic")
        let content = Array(bytes[20...])
        var generator = Generator(state: 42)
        var refused = 0
        for round in 0..<20_000 {
            var damaged = content
            for _ in 0...(round % 3) {
                let index = Int.random(in: damaged.indices, using: &generator)
                switch round % 4 {
                case 0: damaged[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: damaged.remove(at: index)
                case 2: damaged.insert(UInt8.random(in: 0...255, using: &generator), at: index)
                default: damaged[index] ^= UInt8(1 << Int.random(in: 0..<8, using: &generator))
                }
            }
            do {
                _ = try Job(decoding: EncodedPieces(ClosureWriter.seal(damaged)))
            } catch {
                refused += 1
            }
        }
        #expect(refused > 15_000)
    }

    @Test func anotherBuildIsRefused() throws {
        var content = Array(try sample(1)[20...])
        // One image is listed first: its name is empty, and its identity follows.
        content[2] ^= 1
        let error = #expect(throws: ClosureError.self) {
            _ = try Job(decoding: EncodedPieces(ClosureWriter.seal(content)))
        }
        #expect(error?.code == .differentBuild)
    }

    @Test func anUnknownLibraryIsNamed() throws {
        var writer = ClosureWriter()
        writer.put(1)
        writer.put("libnowhere.so")
        for _ in 0..<20 { writer.put(byte: 0) }
        let error = #expect(throws: ClosureError.self) {
            _ = try Job(decoding: EncodedPieces(ClosureWriter.seal(writer.body)))
        }
        #expect(error?.code == .imageNotLoaded)
        #expect(error?.description.contains("libnowhere.so") == true)
    }

    @Test func anotherSignatureIsRefused() throws {
        let bytes = try encodeClosure { 3 }
        let error = #expect(throws: ClosureError.self) {
            _ = try bytes.withUnsafeBytes { try decodeClosure($0, as: String.self) }
        }
        #expect(error?.code == .signatureMismatch)
        #expect(throws: ClosureError.self) {
            _ = try bytes.withUnsafeBytes { try decodeAsyncClosure($0, as: Int.self) }
        }
    }

    @Test func codeMustBeAFunctionsStart() throws {
        let function: @convention(c) () -> Void = {}
        let address = UInt(bitPattern: unsafeBitCast(function, to: UnsafeRawPointer.self))
        let image = try #require(ProcessImages.containing(address))
        #expect(image.hasCode(at: address, isAsync: false))
        #expect(!image.hasCode(at: address + 1, isAsync: false))
        #expect(!image.hasCode(at: image.base, isAsync: false))
        #expect(!image.hasCode(at: 0, isAsync: false))
        #expect(!image.hasCode(at: image.base, isAsync: true))
    }

    @Test func argumentsThatDoNotFitAreRefused() throws {
        let job = try Job(decoding: Job.encode(body: { @Sendable (a: String, b: [Int]) in "\(a)\(b)" }))
        #expect(throws: ClosureError.self) { _ = try job.runSynchronously() }
        #expect(throws: ClosureError.self) { _ = try job.runSynchronously(arguments: Job.encodeArguments(3)) }
        #expect(throws: ClosureError.self) { _ = try job.runSynchronously(arguments: EncodedPieces([])) }
    }
}

private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 33)
    }
}
