import Foundation
import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// What CPython's suite asks of shared values, arrays and ctypes, over every start method.
    @Suite struct SharedDataPythonTests {
        struct Point: Hashable, BitwiseCopyable, Sendable {
            var x: Int32
            var y: Double
            var z: Int64
        }

        private func values(_ method: StartMethod, locked: Bool) async throws {
            func make<T: BitwiseCopyable>(_ value: T) throws -> SharedValue<T> {
                locked ? try SharedValue(value) : try SharedValue(unlocked: value)
            }
            let int = try make(Int32(7))
            let long = try make(Int64(1) << 33)
            let short = try make(Int16(-7))
            let double = try make(3.5)
            let byte = try make(UInt8(ascii: "x"))
            let child = try ChildProcess(startMethod: method) {
                try check(int.value == 7 && long.value == 1 << 33 && short.value == -7)
                try check(double.value == 3.5 && byte.value == UInt8(ascii: "x"))
                int.value = 42
                long.value = 1 << 24
                short.value = -232
                double.value = -1.25
                byte.value = UInt8(ascii: "y")
            }
            try child.start()
            try await child.value
            #expect(int.value == 42 && long.value == 1 << 24 && short.value == -232)
            #expect(double.value == -1.25 && byte.value == UInt8(ascii: "y"))
        }

        // CPython: _TestValue.test_value
        @Test(arguments: StartMethod.allCases) func value(_ method: StartMethod) async throws {
            try await values(method, locked: true)
        }

        // CPython: _TestValue.test_rawvalue
        @Test(arguments: StartMethod.allCases) func rawValue(_ method: StartMethod) async throws {
            try await values(method, locked: false)
        }

        // CPython: _TestValue.test_getobj_getlock
        // Adapted: a wrong type of lock does not compile.
        @Test func valueLocks() async throws {
            let own = try SharedValue(5)
            #expect(own.callersLock == nil)
            #expect(try await own.withLock { $0 } == 5)
            let lock = try Lock()
            let callers = try SharedValue(5, lock: lock)
            #expect(callers.callersLock === lock)
            try await lock.acquire()
            await #expect(throws: SharedStateError.self) { try await callers.withLock(timeout: .zero) { $0 } }
            try lock.release()
            #expect(try await callers.withLock { $0 } == 5)
            let none = try SharedValue(unlocked: 5)
            #expect(none.callersLock == nil)
            await #expect(throws: SharedStateError.self) { try await none.withLock { $0 } }
        }

        private func arrays(_ method: StartMethod, locked: Bool) async throws {
            let sequence: [Int32] = [680, 626, 934, 821, 150, 233, 548, 982, 714, 831]
            let array = locked ? try SharedArray(sequence) : try SharedArray(unlocked: sequence)
            #expect(array.count == sequence.count)
            #expect(array[3] == sequence[3])
            #expect(Array(array[2..<7]) == Array(sequence[2..<7]))
            var expected = sequence
            expected[4..<8] = [1, 2, 3, 4]
            for index in 4..<8 { array[index] = expected[index] }
            #expect(array.elementsEqual(expected))
            for index in expected.indices.dropFirst() { expected[index] += expected[index - 1] }
            let child = try ChildProcess(startMethod: method) {
                for index in array.indices.dropFirst() { array[index] += array[index - 1] }
            }
            try child.start()
            try await child.value
            #expect(Array(array) == expected)
        }

        // CPython: _TestArray.test_array
        @Test(arguments: StartMethod.allCases) func array(_ method: StartMethod) async throws {
            try await arrays(method, locked: true)
        }

        // CPython: _TestArray.test_rawarray
        @Test(arguments: StartMethod.allCases) func rawArray(_ method: StartMethod) async throws {
            try await arrays(method, locked: false)
        }

        // CPython: _TestArray.test_array_from_size
        @Test func arrayFromSize() throws {
            for _ in 0..<3 {
                let array = try SharedArray<Int32>(count: 10)
                #expect(array.count == 10)
                #expect(array.allSatisfy { $0 == 0 })
                for index in array.indices { array[index] = Int32(index) }
                #expect(Array(array) == Array(0..<10))
            }
        }

        // CPython: _TestArray.test_getobj_getlock_obj
        @Test func arrayLocks() async throws {
            let own = try SharedArray([1, 2, 3])
            #expect(own.callersLock == nil)
            #expect(try await own.withLock { $0[1] } == 2)
            let lock = try Lock()
            let callers = try SharedArray([1, 2, 3], lock: lock)
            #expect(callers.callersLock === lock)
            try await lock.acquire()
            await #expect(throws: SharedStateError.self) { try await callers.withLock(timeout: .zero) { $0[0] } }
            try lock.release()
            let none = try SharedArray(unlocked: [1, 2, 3])
            await #expect(throws: SharedStateError.self) { try await none.withLock { $0[0] } }
        }

        private func doubling(_ method: StartMethod, locked: Bool) async throws {
            func make<T: BitwiseCopyable>(_ value: T) throws -> SharedValue<T> {
                locked ? try SharedValue(value) : try SharedValue(unlocked: value)
            }
            let int = try make(Int32(7))
            let double = try make(1.0 / 3)
            let long = try make(Int64(2) << 33)
            let point = try make(Point(x: 3, y: 2, z: -5))
            let numbers =
                locked
                ? try SharedArray((0..<10).map(Double.init)) : try SharedArray(unlocked: (0..<10).map(Double.init))
            let text = try SharedArray<UInt8>(count: 20)
            for (index, byte) in "hello".utf8.enumerated() { text[index] = byte }
            let child = try ChildProcess(startMethod: method) {
                int.value *= 2
                double.value *= 2
                long.value *= 2
                let old = point.value
                point.value = Point(x: old.x * 2, y: old.y * 2, z: old.z * 2)
                for index in numbers.indices { numbers[index] *= 2 }
                let half = (0..<5).map { text[$0] }
                for index in 0..<5 { text[5 + index] = half[index] }
            }
            try child.start()
            try await child.value
            #expect(int.value == 14 && double.value == 2.0 / 3 && long.value == 4 << 33)
            #expect(point.value == Point(x: 6, y: 4, z: -10))
            #expect(numbers.elementsEqual((0..<10).map { Double($0 * 2) }))
            #expect(String(decoding: text.prefix { $0 != 0 }, as: UTF8.self) == "hellohello")
        }

        // CPython: _TestSharedCTypes.test_sharedctypes
        @Test(arguments: StartMethod.allCases) func structures(_ method: StartMethod) async throws {
            try await doubling(method, locked: false)
        }

        // CPython: _TestSharedCTypes.test_synchronize
        @Test(arguments: StartMethod.allCases) func lockedStructures(_ method: StartMethod) async throws {
            try await doubling(method, locked: true)
        }

        // CPython: _TestSharedCTypes.test_copy
        @Test func copy() throws {
            let shared = try SharedValue(Point(x: 2, y: 5, z: 1 << 33))
            let copy = try SharedValue(shared.value)
            onCurrentThread {
                shared.value = Point(x: 0, y: 0, z: 0)
            }
            #expect(copy.value == Point(x: 2, y: 5, z: 1 << 33))
        }

        // CPython: _TestHeap.test_heap
        // Adapted: the allocator is behind every shared object, so those are what is allocated: none overlaps another, what
        // is freed before anybody else can know it is used again, and what has travelled is not.
        @Test func heap() async throws {
            try await isolated {
                var generator = SystemRandomNumberGenerator()
                var live: [(array: SharedArray<UInt8>, mark: UInt8)] = []
                for round in 0..<5000 {
                    let count = Int.random(in: 1...1 << Int.random(in: 1...8), using: &generator)
                    let array = try SharedArray<UInt8>(unlockedCount: count)
                    try check(array.allSatisfy { $0 == 0 }, "used memory in round \(round)")
                    let mark = UInt8.random(in: 1...255)
                    array.withMutableSpan { span in for index in span.indices { span[index] = mark } }
                    live.append((array, mark))
                    if live.count > 50 {
                        let (array, mark) = live.remove(at: Int.random(in: live.indices, using: &generator))
                        try check(array.allSatisfy { $0 == mark }, "overlap in round \(round)")
                    }
                }
                for (array, mark) in live { try check(array.allSatisfy { $0 == mark }) }
            }
        }

        @Test func memoryThatTravelledIsNotUsedAgain() async throws {
            let sent = try await {
                let value = try SharedValue(unlocked: UInt64(0x1234_5678_9abc_def0))
                let child = try ChildProcess { value.value == 0x1234_5678_9abc_def0 }
                try child.start()
                #expect(try await child.value)
                return 1
            }()
            #expect(sent == 1)
            // Thousands of the same size: none gets what a child may have.
            let more = try (0..<2000).map { _ in try SharedValue(unlocked: UInt64(0)) }
            #expect(more.allSatisfy { $0.value == 0 })
        }
    }
}

/// Calls what must not be called from asynchronous code, from a test that is not.
private func onCurrentThread(_ body: () -> Void) { body() }
