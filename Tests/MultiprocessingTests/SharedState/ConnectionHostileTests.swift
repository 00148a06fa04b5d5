import Glibc
import Multiprocessing
import SystemPackage
import Testing

/// The mappings of memory files of this process.
private func memoryFiles() -> [ClosedRange<UInt>] {
    (text(of: "/proc/self/maps") ?? "").split(separator: "\n").compactMap { line in
        guard line.contains("/memfd:multiprocessing"), let range = line.split(separator: " ").first else { return nil }
        let ends = range.split(separator: "-").compactMap { UInt($0, radix: 16) }
        return ends.count == 2 ? ends[0]...(ends[1] - 1) : nil
    }
}

/// A connection, and the memory of its ends as a hostile process would have it.
private struct Target {
    let a: Connection
    let b: Connection
    let memory: UnsafeMutableRawBufferPointer

    init() throws {
        let before = Set(memoryFiles())
        (a, b) = try Connection.pair()
        let range = try #require(memoryFiles().first { !before.contains($0) && $0.count > 8 << 20 })
        memory = UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: range.lowerBound),
            count: range.count
        )
    }
}

private struct Cargo: Codable {
    var numbers: [Int]
    var text: String
    var lock: Lock?
}

extension ProcessTests {
    /// Whatever is in the shared memory and comes over the socket: no fault, no hang, no more memory than the sender spent.
    @Suite(.timeLimit(.minutes(3))) struct ConnectionHostileTests {
        private static var options: ProcessOptions {
            var options = ProcessOptions()
            options.limits = [.memory(8 << 30)]
            return options
        }

        /// Everything that can be done with an end. What it throws does not matter.
        private static func use(_ end: Connection, _ generator: inout some RandomNumberGenerator) {
            let short: Duration = .milliseconds(2)
            for _ in 0..<4 {
                switch Int.random(in: 0..<9, using: &generator) {
                case 0: try? end.send(Cargo(numbers: [1, 2, 3], text: "abc"), timeout: short)
                case 1: _ = try? end.receive(Cargo.self, timeout: short)
                case 2: try? end.sendBytes([UInt8](repeating: 1, count: 3000), timeout: short)
                case 3: _ = try? end.receiveBytes(timeout: short)
                case 4: _ = try? end.poll(timeout: short)
                case 5: try? end.send(Cargo(numbers: [], text: "", lock: try Lock()), timeout: short)
                case 6: try? end.sendBytes([UInt8](repeating: 2, count: 1_100_000), timeout: short)
                case 7: if let file = try? end.receiveDescriptor(timeout: short) { try? file.close() }
                default: _ = try? end.fileDescriptor
                }
            }
        }

        @Test(arguments: 0..<4) func memoryIsDamaged(seed: Int) async throws {
            try await isolated(options: Self.options) {
                var generator = Numbers(state: UInt64(seed) + 1)
                for _ in 0..<60 {
                    let target = try Target()
                    for _ in 0..<3 {
                        Self.use(target.a, &generator)
                        Self.use(target.b, &generator)
                        for _ in 0..<Int.random(in: 1...8, using: &generator) {
                            // Mostly where the positions, words and first records are.
                            let ring = Bool.random(using: &generator) ? 0 : 4 << 20 + 320
                            let place =
                                128 + 64 + ring
                                + Int.random(in: 0..<(Bool.random(using: &generator) ? 330 : 2000), using: &generator)
                            let values: [UInt8] = [0, 1, 8, 0xff, 0x80, UInt8.random(in: 0...255, using: &generator)]
                            target.memory[place] = values.randomElement(using: &generator)!
                        }
                    }
                    Self.use(target.a, &generator)
                    Self.use(target.b, &generator)
                }
            }
        }

        @Test(arguments: 0..<2) func packetsAreForeign(seed: Int) async throws {
            try await isolated(options: Self.options) {
                var generator = Numbers(state: UInt64(seed) + 100)
                for _ in 0..<100 {
                    let target = try Target()
                    let sockets = try [target.a, target.b].map { try $0.fileDescriptor.rawValue }
                    for _ in 0..<5 {
                        Self.use(target.a, &generator)
                        Self.use(target.b, &generator)
                        for _ in 0..<Int.random(in: 0...90, using: &generator) {
                            var packet: [UInt8] =
                                [
                                    [0x01, 0x70, 0x63, 0x70, 0x62, 0x65, 0x6c, 0x6c],
                                    [0x02, 0x70, 0x63, 0x70, 0x69, 0x66, 0x64, 0x73],
                                ]
                                .randomElement(using: &generator)!
                            packet += (0..<8).map { $0 == 0 ? UInt8.random(in: 0...9, using: &generator) : 0 }
                            if Bool.random(using: &generator) {
                                packet = (0..<Int.random(in: 0...40, using: &generator)).map { _ in 0xee }
                            }
                            _ = Glibc.send(
                                sockets.randomElement(using: &generator)!,
                                packet,
                                packet.count,
                                Int32(MSG_DONTWAIT | MSG_NOSIGNAL)
                            )
                        }
                    }
                    // Foreign packets alone do not harm: what was sent is there, after what was there before.
                    while try target.a.poll(), failure({ try target.a.receiveBytes(timeout: .zero) }) != .cannotTravel {
                    }
                }
            }
        }

        @Test func messagesThatAreNotWhatIsAskedFor() throws {
            let (a, b) = try Connection.pair()
            try a.send("text")
            try a.sendBytes([0xde, 0xad])
            try a.sendBytes([])
            try a.send(7)
            #expect(failure { try b.receive(Int.self, timeout: .zero) } == .malformed)
            #expect(failure { try b.receive(String.self, timeout: .zero) } == .malformed)
            #expect(failure { try b.receive(Bool.self, timeout: .zero) } == .malformed)
            #expect(try b.receive(Int.self, timeout: .zero) == 7)
            // A value with handles is not bytes, a descriptor is neither: each stays for who can take it.
            try a.send([try Lock()])
            #expect(failure { try b.receiveBytes(timeout: .zero) } == .cannotTravel)
            #expect(failure { try b.receiveDescriptor(timeout: .zero) } == .malformed)
            #expect(try b.receive([Lock].self, timeout: .zero).count == 1)
            let pipe = try PlainPipe()
            try a.sendDescriptor(pipe.writing)
            #expect(failure { try b.receive(Int.self, timeout: .zero) } == .malformed)
            #expect(failure { try b.receiveBytes(timeout: .zero) } == .malformed)
            try b.receiveDescriptor(timeout: .zero).close()
            #expect(pipe.closeAndRead() == "")
        }

        @Test func lengthsAreChecked() throws {
            let (a, b) = try Connection.pair()
            for size in [1000, 3_000_000] {
                try a.sendBytes([UInt8](repeating: 3, count: size))
                #expect(failure { try b.receiveBytes(maximumLength: size - 1, timeout: .zero) } == .tooLarge)
                var small = [UInt8](repeating: 0, count: size - 1)
                #expect(failure { try b.receiveBytes(into: &small, timeout: .zero) } == .tooLarge)
                #expect(failure { try b.receiveBytes(into: &small, offset: size, timeout: .zero) } == .invalidArgument)
                #expect(failure { try b.receiveBytes(maximumLength: -1) } == .invalidArgument)
                #expect(try b.receiveBytes(maximumLength: size, timeout: .zero) == [UInt8](repeating: 3, count: size))
            }
        }
    }
}

/// The same numbers for the same seed (SplitMix64).
private struct Numbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
