internal import CBaselines
internal import Multiprocessing

// What the children of the benchmark do.

func emptyChild(_ method: StartMethod) throws -> ChildProcess<Void> {
    try ChildProcess(startMethod: method) {}
}

/// Returns the time at which its body began.
func clockChild(_ method: StartMethod) throws -> ChildProcess<Int64> {
    try ChildProcess(startMethod: method) { mpb_now() }
}

func idleChild() throws -> ChildProcess<Void> {
    try ChildProcess(startMethod: .forkServer) { mpb_sleep(60_000_000_000) }
}

func trappingChild(_ method: StartMethod) throws -> ChildProcess<Void> {
    try ChildProcess(startMethod: method) { fatalError("on purpose") }
}

func fibonacciChild() throws -> ChildProcess<Int> {
    try ChildProcess(startMethod: .forkServer) { fibonacciTail(steps: fibonacciSteps) }
}

func primesChild() throws -> ChildProcess<Int> {
    try ChildProcess(startMethod: .forkServer) { sumOfPrimes(below: primesLimit) }
}

/// Gets an array as an argument, reads something of each of its pages, and returns its count.
func takingChild<Element>(_ array: [Element]) throws -> ChildProcess<Int>
where Element: FixedWidthInteger & Codable & Sendable {
    try ChildProcess(arguments: array, startMethod: .forkServer) { touched($0) }
}

/// The same with the array captured.
func capturingChild(_ bytes: [UInt8]) throws -> ChildProcess<Int> {
    try ChildProcess(startMethod: .forkServer) { touched(bytes) }
}

/// Makes an array of so many elements and returns it.
func givingChild<Element>(_ element: Element, count: Int) throws -> ChildProcess<[Element]>
where Element: FixedWidthInteger & Codable & Sendable {
    try ChildProcess(arguments: element, count, startMethod: .forkServer) { Array(repeating: $0, count: $1) }
}

/// The count of an array, after a look at each of its pages.
@inline(never)
func touched<Element: FixedWidthInteger>(_ array: [Element]) -> Int {
    var sum: Element = 0
    for index in stride(from: 0, to: array.count, by: 4096 / MemoryLayout<Element>.stride) { sum &+= array[index] }
    return array.count + (sum == 1 ? 1 : 0)
}
