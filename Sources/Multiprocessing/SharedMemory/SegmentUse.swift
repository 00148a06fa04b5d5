internal import MultiprocessingSystem
internal import SystemPackage

/// The use that this process makes of a piece of shared memory: a mapping, and the open file behind it.
///
/// A named segment's open file carries the shared lock by which others see that it is in use. The kernel drops that lock when
/// the last descriptor *and* the last mapping of the open file are gone: hence one object for both, which every access keeps
/// alive, and which tries to remove the segment after it has let go of both.
final class SegmentUse: @unchecked Sendable {
    // Unchecked: what is mutable is only changed in `deinit`. No lock.

    /// Nil for anonymous memory.
    let name: SegmentName?
    let identity: FileIdentity
    /// The size asked for; the mapping may be larger, up to a page.
    let count: Int
    private let isRemovable: Bool
    private var mapping: SharedMapping?
    private var file: Descriptor?

    /// The memory, as long as the use is alive.
    var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: mapping.unsafelyUnwrapped.base, count: count)
    }

    init(
        _ file: consuming Descriptor,
        mapping: SharedMapping,
        count: Int,
        identity: FileIdentity,
        name: SegmentName? = nil,
        isRemovable: Bool = false
    ) {
        self.file = consume file
        self.mapping = mapping
        self.count = count
        self.identity = identity
        self.name = name
        self.isRemovable = isRemovable
    }

    /// One more descriptor of the open file, and of its lock, to go with a message.
    func descriptorForTravel() throws(Errno) -> SharedDescriptor {
        SharedDescriptor(try file!.duplicate())
    }

    deinit {
        mapping = nil
        file = nil
        guard let name, isRemovable else { return }
        chaosStep("segment.released")
        switch Segment.removeIfUnused(name, identity) {
        case .removed, .gone: Runtime.current.tracker.forget(identity)
        case .busy: Runtime.current.tracker.retire(identity)
        }
    }
}

/// A name that a segment can have.
struct SegmentName: Hashable, Sendable {
    let text: String

    /// - Throws: ``SharedStateError`` (`invalidArgument`) for a name that no segment can have.
    init(_ text: String) throws(SharedStateError) {
        func refuse(_ why: String) -> SharedStateError {
            SharedStateError(.invalidArgument, "No shared memory can be named \"\(text)\": \(why)")
        }
        guard !text.isEmpty, text != ".", text != ".." else { throw refuse("that is no name") }
        guard !text.utf8.contains(0) else { throw refuse("it contains a zero byte") }
        guard !text.utf8.contains(UInt8(ascii: "/")) else { throw refuse("it contains a slash") }
        guard text.utf8.count <= SegmentFile.longestName else {
            throw refuse("it is longer than \(SegmentFile.longestName) bytes")
        }
        self.text = text
    }

    private init(known text: String) {
        self.text = text
    }

    /// What the library's own names begin with.
    static let prefix = "mp_"

    /// A name that nobody has: it tells who made it, so that leftovers of the dead can be told from what is in use.
    static func unique() throws(Errno) -> SegmentName {
        let random = try ThisProcess.randomBytes(6).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let stamp = ProcessStamp.current.rawValue
        return SegmentName(known: "\(prefix)\(String(stamp, radix: 16))_\(String(random, radix: 16))")
    }

    /// The process that made a name of ours up; nil if it is not one.
    var maker: ProcessStamp? {
        guard text.hasPrefix(Self.prefix) else { return nil }
        let parts = text.dropFirst(Self.prefix.count).split(separator: "_", omittingEmptySubsequences: false)
        guard parts.count == 2, let stamp = UInt64(parts[0], radix: 16), UInt64(parts[1], radix: 16) != nil else {
            return nil
        }
        return ProcessStamp(rawValue: stamp)
    }
}
