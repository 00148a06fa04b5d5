internal import _MultiprocessingShims

/// Reads what `ClosureWriter` wrote, believing none of it: every count is bounded, every address is checked.
struct ClosureReader {
    private var bytes: UnsafeRawBufferPointer
    /// Holds what arrived beside the bytes.
    let transfer: TransferContext?
    /// The large values that were not taken yet.
    private var large: UnsafeRawBufferPointer
    private var index = 0
    private var images: [ProcessImage] = []
    /// Contexts and boxes rebuilt so far, in the order in which the writer finished them.
    var objects: [HeapReference] = []
    /// How deep functions may be nested in each other, so that hostile bytes cannot exhaust the stack.
    private var depth = 0

    init(
        _ bytes: UnsafeRawBufferPointer,
        objects: [any AnyObject & Sendable] = []
    ) throws(ClosureError) {
        self.bytes = bytes
        transfer = TransferContext(objects)
        large = UnsafeRawBufferPointer(start: nil, count: 0)
        for byte in ClosureWriter.magic where try self.byte() != byte {
            throw .malformed("no closure starts like this")
        }
        let sum = try fixed()
        let covered = try fixed()
        guard covered <= UInt64(bytes.count - index) else { throw .malformed("they are too short") }
        let end = index + Int(covered)
        guard sum == ClosureWriter.checksum(UnsafeRawBufferPointer(rebasing: bytes[index..<end])) else {
            throw .malformed("the checksum is wrong")
        }
        large = UnsafeRawBufferPointer(rebasing: bytes[end...])
        self.bytes = UnsafeRawBufferPointer(rebasing: bytes[..<end])
        for _ in 0..<(try count()) { images.append(try readImage()) }
    }

    var isAtEnd: Bool { index == bytes.count && large.isEmpty }

    mutating func byte() throws(ClosureError) -> UInt8 {
        guard index < bytes.count else { throw .malformed("they are too short") }
        defer { index += 1 }
        return bytes[index]
    }

    mutating func word() throws(ClosureError) -> UInt {
        var value: UInt = 0
        var shift: UInt = 0
        while true {
            let byte = try byte()
            guard shift < 63 || byte <= 1 else { throw .malformed("a number is too large") }
            value |= UInt(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
    }

    /// A number of things, each of which takes a byte at least.
    mutating func count() throws(ClosureError) -> Int {
        let value = try word()
        guard value <= UInt(bytes.count - index) else { throw .malformed("a count is too large") }
        return Int(value)
    }

    mutating func data() throws(ClosureError) -> UnsafeRawBufferPointer {
        let count = try count()
        defer { index += count }
        return UnsafeRawBufferPointer(rebasing: bytes[index..<(index + count)])
    }

    private mutating func fixed() throws(ClosureError) -> UInt64 {
        var value: UInt64 = 0
        for shift in 0..<8 { value |= UInt64(try byte()) << (shift * 8) }
        return value
    }

    /// A value that the binary coder encoded, where it is.
    mutating func encoded() throws(ClosureError) -> UnsafeRawBufferPointer {
        let start = index
        let count = try word()
        guard count >= UInt(ClosureWriter.largeSize) else {
            index = start
            return try data()
        }
        guard count <= UInt(large.count) else { throw .malformed("a large value is missing") }
        defer { large = UnsafeRawBufferPointer(rebasing: large[Int(count)...]) }
        return UnsafeRawBufferPointer(rebasing: large[..<Int(count)])
    }

    mutating func string() throws(ClosureError) -> String {
        guard let string = String(validating: try data(), as: UTF8.self) else {
            throw .malformed("a name is not UTF-8")
        }
        return string
    }

    private mutating func readImage() throws(ClosureError) -> ProcessImage {
        let name = try string()
        var identity: [UInt8] = []
        for _ in 0..<Int(MP_IMAGE_IDENTITY_SIZE) { identity.append(try byte()) }
        guard let image = ProcessImages.named(name) else {
            throw ClosureError(.imageNotLoaded, name, reason: "holds code of the closure but is not loaded here")
        }
        guard image.identity == identity else {
            throw ClosureError(
                .differentBuild,
                name.isEmpty ? "the executable" : name,
                reason: "is another build at the other end",
                remedy: "closures travel between processes of one and the same executable only"
            )
        }
        return image
    }

    /// Reads an address of which `size` bytes are mapped, and the image it is in.
    mutating func position(size: Int) throws(ClosureError) -> (address: UnsafeRawPointer, image: ProcessImage) {
        let number = try word()
        guard number < images.count else { throw .malformed("they name an image that is not listed") }
        let image = images[Int(number)]
        let value = image.base &+ (try word())
        guard image.holds(value, size: size), let address = UnsafeRawPointer(bitPattern: value) else {
            throw .malformed("an address is outside its image")
        }
        return (address, image)
    }

    mutating func nested<R>(_ body: (inout ClosureReader) throws(ClosureError) -> R) throws(ClosureError) -> R {
        guard depth < ClosureWriter.maximumDepth else { throw .malformed("they are nested too deeply") }
        depth += 1
        defer { depth -= 1 }
        return try body(&self)
    }
}

/// Keeps a heap object of the runtime's alive: a context, a box, or the buffer of an array.
final class HeapReference {
    let address: UnsafeMutableRawPointer

    /// Takes over a reference that is already counted.
    init(owned address: UnsafeMutableRawPointer) { self.address = address }

    /// A further counted reference, to be stored somewhere.
    func retained() -> UnsafeMutableRawPointer {
        _ = Unmanaged<AnyObject>.fromOpaque(address).retain()
        return address
    }

    deinit { Unmanaged<AnyObject>.fromOpaque(address).release() }
}
