internal import MultiprocessingWire

// The plan's form in a launch packet. By hand, because every start pays for it twice, and the fields are few: integers are
// little-endian, strings and lists have a count in front. Settings, which are rare, are encoded by the library's coder.

extension LaunchPlan {
    func encoded() throws -> [UInt8] {
        var writer = PlanWriter()
        writer.put(identity.name)
        writer.put(identity.path)
        writer.put(identity.isDaemon ? 1 : 0)
        writer.put(StartMethod.allCases.firstIndex(of: identity.startMethod)!)
        writer.put(bytes: identity.authenticationKey)
        writer.put(parent.name)
        writer.put(Int(parent.processIdentifier))
        writer.put(StartMethod.allCases.firstIndex(of: defaultStartMethod)!)
        writer.put(nullStreams.map(Int.init))
        writer.put(descriptorNumbers.map(Int.init))
        writer.put(printsErrors ? 1 : 0)
        writer.put(tracker ?? "")
        writer.put(bytes: try settings.map { try BinaryEncoder().encode($0) } ?? [])
        return writer.bytes
    }

    /// - Throws: ``ProcessError`` or the coder's error for bytes that are no plan.
    init(decoding bytes: UnsafeRawBufferPointer) throws {
        var reader = PlanReader(bytes: bytes)
        identity = ProcessIdentity(
            name: try reader.string(),
            path: try reader.numbers(),
            isDaemon: try reader.number() != 0,
            startMethod: try reader.method(),
            authenticationKey: Array(try reader.data())
        )
        parent = ParentIdentity(
            name: try reader.string(),
            processIdentifier: Int32(truncatingIfNeeded: try reader.number())
        )
        defaultStartMethod = try reader.method()
        nullStreams = try reader.numbers().map { Int32(truncatingIfNeeded: $0) }
        descriptorNumbers = try reader.numbers().map { Int32(truncatingIfNeeded: $0) }
        printsErrors = try reader.number() != 0
        let address = try reader.string()
        tracker = address.isEmpty ? nil : address
        let encoded = try reader.data()
        settings = encoded.isEmpty ? nil : try BinaryDecoder().decode(LaunchSettings.self, from: encoded)
    }
}

private struct PlanWriter {
    var bytes: [UInt8] = []

    init() {
        bytes.reserveCapacity(256)
    }

    mutating func put(_ number: Int) {
        withUnsafeBytes(of: Int64(number).littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func put(_ numbers: [Int]) {
        put(numbers.count)
        for number in numbers { put(number) }
    }

    mutating func put(bytes more: [UInt8]) {
        put(more.count)
        bytes.append(contentsOf: more)
    }

    mutating func put(_ string: String) {
        put(string.utf8.count)
        bytes.append(contentsOf: string.utf8)
    }
}

private struct PlanReader {
    let bytes: UnsafeRawBufferPointer
    private var index = 0

    init(bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    private static var cutOff: ProcessError {
        ProcessError(.setupFailed, "A launch packet is malformed: its plan is cut off")
    }

    mutating func number() throws -> Int {
        guard bytes.count - index >= 8 else { throw Self.cutOff }
        defer { index += 8 }
        return Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: Int64.self)))
    }

    /// A count of things of `size` bytes each, all of which are there.
    private mutating func count(size: Int) throws -> Int {
        let count = try number()
        guard count >= 0, count <= (bytes.count - index) / size else { throw Self.cutOff }
        return count
    }

    mutating func numbers() throws -> [Int] {
        let count = try count(size: 8)
        return try (0..<count).map { _ in try number() }
    }

    mutating func data() throws -> UnsafeRawBufferPointer {
        let count = try count(size: 1)
        defer { index += count }
        return UnsafeRawBufferPointer(rebasing: bytes[index..<(index + count)])
    }

    mutating func string() throws -> String {
        String(decoding: try data(), as: UTF8.self)
    }

    mutating func method() throws -> StartMethod {
        let index = try number()
        guard StartMethod.allCases.indices.contains(index) else { throw Self.cutOff }
        return StartMethod.allCases[index]
    }
}
