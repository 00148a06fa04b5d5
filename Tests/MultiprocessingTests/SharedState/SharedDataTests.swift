import Foundation
import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// Shared values, arrays and integers beyond what CPython's suite asks.
    @Suite struct SharedDataTests {
        struct Large: BitwiseCopyable, Sendable, Equatable {
            var words: InlineArray<40, UInt64>
            init(_ value: UInt64) { words = InlineArray(repeating: value) }
            static func == (left: Large, right: Large) -> Bool {
                left.words.indices.allSatisfy { left.words[$0] == right.words[$0] }
            }
            var isWhole: Bool { words.indices.allSatisfy { words[$0] == words[0] } }
        }

        /// A lock of the caller's that is gone at the end of the body is not what is wrong.
        @Test func theErrorOfTheBodyComesFirst() throws {
            let lock = try Lock()
            let value = try SharedValue(0, lock: lock)
            #expect(throws: CheckFailure.self) {
                try value.withLock { _ in
                    try lock.release()
                    throw CheckFailure(text: "the body's own", place: "")
                }
            }
            try check(fails: .notOwner) { try value.withLock { _ in try lock.release() } }
        }

        @Test(arguments: StartMethod.allCases) func countingTogether(_ method: StartMethod) async throws {
            let value = try SharedValue(0)
            let atomic = try SharedAtomic(0)
            let array = try SharedArray<Int>(count: 3)
            let children = try (0..<3).map { _ in
                try ChildProcess(startMethod: method) {
                    for _ in 0..<5000 {
                        try value.withLock { $0 += 1 }
                        atomic.wrappingAdd(1)
                        try array.withLock { $0[1] += 1 }
                    }
                }
            }
            for child in children { try child.start() }
            for _ in 0..<500 { try await value.withLock { $0 += 1 } }
            for child in children { try await child.value }
            #expect(value.value == 15_500)
            #expect(atomic.load() == 15_000)
            #expect(array[1] == 15_000)
        }

        @Test func readersSeeWholeValues() async throws {
            let value = try SharedValue(Large(0))
            let stop = try SharedAtomic(0)
            let writer = try ChildProcess { () -> UInt64 in
                var next: UInt64 = 0
                while stop.load() == 0 {
                    next += 1
                    value.value = Large(next)
                }
                return next
            }
            try writer.start()
            for _ in 0..<20_000 { #expect(value.value.isWhole) }
            stop.store(1)
            let last = try await writer.value
            #expect(value.value == Large(last))
        }

        @Test func valuesOfAllSizes() async throws {
            #expect(try SharedValue(5).value == 5)
            #expect(try SharedValue(true).value)
            #expect(try SharedValue(Float(1.5)).value == 1.5)
            #expect(try SharedValue((Int32(1), UInt8(2))).value == (1, 2))
            #expect(try SharedValue((1, 2.5)).value == (1, 2.5))
            #expect(try SharedValue(Optional(3)).value == 3)
            #expect(try SharedValue(SIMD4<Double>(1, 2, 3, 4)).value == [1, 2, 3, 4])
            #expect(try SharedValue(Large(7)).value == Large(7))
            #expect(try SharedValue(()).value == ())
        }

        @Test func aBodyThatThrowsChangesNothing() async throws {
            let value = try SharedValue(1)
            await #expect(throws: CheckFailure.self) {
                try await value.withLock { content in
                    content = 2
                    throw CheckFailure(text: "", place: "")
                }
            }
            #expect(value.value == 1)
            #expect(try await value.withLock(timeout: .seconds(5)) { $0 } == 1)
        }

        @Test func waitingForOneselfIsAnError() async throws {
            try await isolated {
                let value = try SharedValue(1)
                try value.withLock { _ in
                    try check(fails: .wouldDeadlock) { try value.set(2) }
                    try check(fails: .wouldDeadlock) { _ = try value.withLock { $0 } }
                }
                try value.set(3)
                try check(value.value, is: 3)
                let array = try SharedArray([1])
                try array.withLock { _ -> Void in
                    try check(fails: .wouldDeadlock) { _ = try array.withLock { $0[0] } }
                }
            }
        }

        @Test func timeouts() async throws {
            let value = try SharedValue(1)
            let atomic = try SharedAtomic(0)
            let holder = try ChildProcess {
                try value.withLock { _ in
                    atomic.store(1)
                    sleepForever()
                }
            }
            try holder.start()
            #expect(try await eventually(within: .seconds(20)) { atomic.load() == 1 })
            do {
                try await value.set(2, timeout: .milliseconds(30))
                Issue.record("nothing was thrown")
            } catch {
                #expect((error as? SharedStateError)?.code == .timedOut)
            }
            // Reading does not wait.
            #expect(value.value == 1)
            try holder.kill()
            try await holder.join()
            try await value.set(3, timeout: .seconds(20))
            #expect(value.value == 3)
        }

        @Test func aDeadHolderOfAnArrayIsTold() async throws {
            let array = try SharedArray<Int>(count: 2)
            let child = try ChildProcess {
                try array.withLock { span in
                    span[0] = 1
                    kill(getpid(), SIGKILL)
                    span[1] = 1
                }
            }
            try child.start()
            try await child.join()
            #expect(array.abandonments == 0)
            #expect(try await array.withLock(timeout: .seconds(20)) { $0[0] + $0[1] } == 1)
            #expect(array.abandonments == 1)
            #expect(try await array.withLock(timeout: .seconds(20)) { $0[0] } == 1)
            #expect(array.abandonments == 1)
        }

        /// Tasks and threads have the same numbers in all processes: what a dead holder left is not taken for the caller's own
        /// in the moment in which the next holder has not written yet.
        @Test(.enabled(if: Chaos.isAvailable)) func theNumberThatADeadHolderLeft() async throws {
            let array = try SharedArray([0])
            let first = try ChildProcess(startMethod: .spawn) {
                try array.withLock { _ in _ = raise(SIGKILL) }
            }
            try first.start()
            try await first.join()
            let second = try ChildProcess(startMethod: .spawn) { () -> Int in
                // The first number, as in the first process.
                _ = try SharedValue(0).withLock { $0 }
                Foundation.Thread.detachNewThread {
                    Chaos.arm(
                        Chaos.Plan(.delay, .named("word.taken", occurrence: 0), pause: .milliseconds(500))
                    )
                    try? array.withLock { $0[0] += 1 }
                }
                // The owner word, in front of the elements.
                let word = array.withSpan { $0.withUnsafeBufferPointer { UnsafeRawPointer($0.baseAddress!) - 64 } }
                while word.load(as: UInt32.self) & 0x3f_ffff != UInt32(getpid()) { usleep(1000) }
                return try array.withLock(timeout: .seconds(20)) { $0[0] }
            }
            try second.start()
            #expect(try await onThread { try second.waitForValue(timeout: .seconds(30)) } == 1)
        }

        @Test func collectionOperations() throws {
            var array = try SharedArray([3, 1, 2])
            array.sort()
            #expect(Array(array) == [1, 2, 3])
            array.swapAt(0, 2)
            array.reverse()
            #expect(array.firstIndex(of: 2) == 1)
            #expect(array.last == 3)
            array[1...].sort(by: >)
            #expect(array.map { $0 * 2 } == [2, 6, 4])
            #expect(array.withSpan { $0.count } == 3)
            #expect(try SharedArray<Int>(count: 0).isEmpty)
            #expect(Array(try SharedArray(repeating: UInt8(5), count: 4)) == [5, 5, 5, 5])
        }

        @Test func countsThatMakeNoSense() throws {
            for count in [-1, .min, .max] {
                try check(fails: .invalidArgument) { _ = try SharedArray<Int>(count: count) }
            }
            try check(fails: .outOfResources) { _ = try SharedArray<UInt8>(count: 1 << 45) }
        }

        @Test func outsideTheBoundsTraps() async throws {
            await #expect(processExitsWith: .failure) {
                let array = try SharedArray([1])
                _ = array[1]
            }
            await #expect(processExitsWith: .failure) {
                let array = try SharedArray([1])
                array[-1] = 1
            }
        }

        @Test(arguments: StartMethod.allCases) func aGigabyteIsNotCopied(_ method: StartMethod) async throws {
            let array = try SharedArray<UInt8>(count: 1 << 30)
            array[1 << 29] = 1
            let before = residentMemory()
            let child = try ChildProcess(startMethod: method) { () -> Int in
                array[(1 << 30) - 1] = array[1 << 29] + 1
                return residentMemory()
            }
            try child.start()
            let resident = try await child.value
            #expect(array[(1 << 30) - 1] == 2)
            #expect(resident < 500 << 20)
            #expect(residentMemory() - before < 100 << 20)
        }

        @Test func integersOfAllWidths() throws {
            let narrow = try SharedAtomic(Int8(127))
            #expect(narrow.wrappingAdd(1) == (127, -128))
            #expect(narrow.min(-5) == (-128, -128))
            #expect(narrow.max(3) == (-128, 3))
            let wide = try SharedAtomic(UInt64.max)
            #expect(wide.wrappingAdd(2).newValue == 1)
            #expect(wide.wrappingSubtract(2).newValue == .max)
            #expect(wide.compareExchange(expected: 0, desired: 1) == (false, .max))
            #expect(wide.compareExchange(expected: .max, desired: 6) == (true, .max))
            #expect(wide.bitwiseAnd(3) == (6, 2))
            #expect(wide.bitwiseOr(5) == (2, 7))
            #expect(wide.bitwiseXor(1) == (7, 6))
            #expect(wide.exchange(9) == 6 && wide.load() == 9)
            let signed = try SharedAtomic(Int32(-3))
            #expect(signed.compareExchange(expected: -3, desired: 4).exchanged)
            try check(fails: .invalidArgument) { _ = try SharedAtomic(UInt128(1)) }
        }

        @Test func whatArrivesAsAnotherTypeIsRefused() async throws {
            struct Pair: Codable, Sendable {
                var value: SharedValue<Int32>
                var array: SharedArray<Int64>
                var atomic: SharedAtomic<UInt8>
            }
            let pair = Pair(value: try SharedValue(1), array: try SharedArray([1, 2]), atomic: try SharedAtomic(3))
            let sum = try await ChildProcess.run {
                Int(pair.value.value) + Int(pair.array[1]) + Int(pair.atomic.load())
            }
            #expect(sum == 6)
            #expect(throws: SharedStateError.self) { try JSONEncoder().encode(pair) }
        }

        @Test func manyValuesWithOneLock() async throws {
            let lock = try Lock()
            let from = try SharedValue(1000, lock: lock)
            let to = try SharedValue(0, lock: lock)
            let children = try (0..<2).map { _ in
                try ChildProcess {
                    for _ in 0..<200 { try from.withLock { $0 -= 1 }; try to.withLock { $0 += 1 } }
                }
            }
            for child in children { try child.start() }
            for child in children { try await child.value }
            #expect(from.value == 600 && to.value == 400)
        }
    }
}
