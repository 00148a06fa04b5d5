import Foundation
import MultiprocessingWire
import Synchronization
import Testing

/// Decoding from memory that is written to at the same time: a value or an error, never a trap.
@Suite struct CodingSharedMemoryTests {
    private struct Everything: Codable {
        var mixed = [Mixed(), Mixed(note: "grüße")]
        var flags = [Bool](repeating: true, count: 40)
        var flagSet = Set([true, false])
        var long = String(repeating: "ä", count: 200)
        var texts = ["kurz", "ein längerer Text, der nicht in einen String passt", ""]
        var numbers = (0..<50).map { $0 }
        var data = Data((0..<50).map { UInt8($0) })
        var table = ["k": [1: Kind.plain], "l": [:]]
        var double: Int?? = .some(nil)
        var keys = Dictionary(uniqueKeysWithValues: (0..<30).map { ("schlüssel\($0)", $0) })
    }

    /// Memory that two threads use at once, on purpose: every access of the writer is a byte, and there is no lock.
    private struct Scribbled: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
    }

    private func decodeWhileScribbling<Value: Codable>(
        _ value: Value,
        for duration: Duration,
        _ check: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> (decoded: Int, refused: Int) {
        let message = try BinaryEncoder().encode(value)
        let shared = Scribbled(bytes: .allocate(byteCount: message.count, alignment: 16))
        defer { shared.bytes.deallocate() }
        shared.bytes.copyBytes(from: message)
        let end = ContinuousClock.now + duration
        let flag = Flag()
        return try withThread {
            var random = CodingFuzzTests.Generator(state: 7)
            while !flag.isDone.load(ordering: .relaxed) {
                // A byte wrong for a moment; now and then all bytes right again.
                for _ in 0..<64 {
                    let position = Int.random(in: 0..<message.count, using: &random)
                    let value: UInt8 = [0, 1, 2, 0x0A, 0x0B, 0x7F, 0xC3, 0xE2, 0xF4, 0xFF].randomElement(
                        using: &random
                    )!
                    shared.bytes.storeBytes(of: value, toByteOffset: position, as: UInt8.self)
                    for _ in 0..<Int.random(in: 0..<200, using: &random) where flag.isDone.load(ordering: .relaxed) {
                        break
                    }
                    shared.bytes.storeBytes(of: message[position], toByteOffset: position, as: UInt8.self)
                }
            }
        } while: {
            var (decoded, refused) = (0, 0)
            defer { flag.isDone.store(true, ordering: .relaxed) }
            while ContinuousClock.now < end {
                do {
                    try check(UnsafeRawBufferPointer(shared.bytes))
                    decoded += 1
                } catch is WireError {
                    refused += 1
                } catch is DecodingError {
                    refused += 1
                }
            }
            return (decoded, refused)
        }
    }

    /// Runs `work` on a thread of its own while `body` runs on this one.
    private func withThread<Result>(
        _ work: @escaping @Sendable () -> Void,
        while body: () throws -> Result
    ) rethrows -> Result {
        let done = DispatchSemaphore(value: 0)
        let thread = Thread {
            work()
            done.signal()
        }
        thread.start()
        defer { done.wait() }
        return try body()
    }

    private final class Flag: Sendable {
        let isDone = Atomic(false)
    }

    private static var duration: Duration {
        #if DEBUG
            .milliseconds(300)
        #else
            .seconds(2)
        #endif
    }

    /// What was decoded has to be a proper value: texts are looked at, Bools are used.
    @Test(.timeLimit(.minutes(2))) func anything() throws {
        let counts = try decodeWhileScribbling(Everything(), for: Self.duration) { bytes in
            let value = try BinaryDecoder().decode(Everything.self, from: bytes)
            #expect(value.long.unicodeScalars.count <= value.long.utf8.count)
            #expect(value.texts.allSatisfy { $0.unicodeScalars.count <= $0.utf8.count })
            let bytes = value.flags.map { unsafeBitCast($0, to: UInt8.self) }
            #expect(bytes.allSatisfy { $0 <= 1 })
        }
        print("scribbled: \(counts.decoded) decoded, \(counts.refused) refused")
        #expect(counts.decoded > 0)
    }

    @Test(.timeLimit(.minutes(2))) func small() throws {
        let text = "grüße, 15+ bytes"
        let counts = try decodeWhileScribbling(text, for: Self.duration) { bytes in
            guard let value = BinaryDecoder.decodeSmall(String.self, from: bytes) else {
                _ = try BinaryDecoder().decode(String.self, from: bytes)
                return
            }
            #expect(value.unicodeScalars.count <= value.utf8.count)
            #expect(String(validating: Array(value.utf8), as: UTF8.self) != nil)
        }
        #expect(counts.decoded > 0)
    }
}
