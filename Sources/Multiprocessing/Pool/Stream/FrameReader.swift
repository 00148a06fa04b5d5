/// Cuts a stream of bytes into frames, however they come.
///
/// A value that knows no socket. Small frames come many at a time into one buffer; of a large one only what came with its beginning is
/// copied, the rest is read to where it stays.
struct FrameReader {
    /// The most bytes of a frame.
    let limit: Int
    private var buffer: [UInt8]
    /// What is in the buffer and not cut yet.
    private var start = 0
    private var end = 0
    /// A frame whose content is on its way.
    private var partial: (frame: StreamFrame, content: [UInt8], filled: Int, total: Int)?

    /// How much of a large content may be read before more room is made for it.
    private static let firstRoom = 1 << 20

    /// - Parameter limit: the most bytes of a frame.
    init(limit: Int) {
        self.limit = limit
        // No more than the longest frame needs: a stranger's is short.
        buffer = [UInt8](repeating: 0, count: min(limit, StreamFrame.headerSize + StreamFrame.mostHead * 2))
    }

    /// Goes on where another one stopped, with another limit. To be made when ``next()`` has just returned a frame.
    init(after other: FrameReader, limit: Int) {
        self.init(limit: limit)
        precondition(other.partial == nil)
        let rest = other.buffer[other.start..<other.end]
        // It is not more than a buffer, but perhaps more than this one: then what is in it is too long as well.
        if rest.count > buffer.count { buffer = [UInt8](repeating: 0, count: rest.count) }
        buffer.replaceSubrange(0..<rest.count, with: rest)
        end = rest.count
    }

    /// Has `source` fill memory with what comes next; what it returns: the count of bytes, 0 at end of file.
    ///
    /// To be called when ``next()`` has returned nil: then there is room.
    mutating func read<Failure: Error>(
        _ source: (UnsafeMutableRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) -> Int {
        if case (let frame, var content, var filled, let total)? = partial {
            // Taken out, so that there is one reference and the bytes are not copied.
            partial = nil
            defer { partial = (frame, content, filled, total) }
            if filled == content.count { Self.grow(&content, to: min(total, 2 * content.count)) }
            let count = try Self.fill(&content, from: filled, to: content.count, source)
            filled += count
            return count
        }
        let count = try Self.fill(&buffer, from: end, to: buffer.count, source)
        end += count
        return count
    }

    private static func grow(_ content: inout [UInt8], to count: Int) {
        let old = content
        content = [UInt8](repeating: 0, count: count)
        content.withUnsafeMutableBytes { room in old.withUnsafeBytes { room.copyMemory(from: $0) } }
    }

    /// The bytes that are kept for what has come and what comes next.
    var capacity: Int { buffer.count + (partial?.content.count ?? 0) }

    private static func fill<Failure: Error>(
        _ bytes: inout [UInt8],
        from start: Int,
        to end: Int,
        _ source: (UnsafeMutableRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) -> Int {
        let result: Result<Int, Failure> = bytes.withUnsafeMutableBytes { memory in
            do throws(Failure) {
                let count = try source(UnsafeMutableRawBufferPointer(rebasing: memory[start..<end]))
                precondition(count >= 0 && count <= end - start)
                return .success(count)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// The next frame, if all of it is there.
    ///
    /// - Throws: ``StreamFault`` for what is no frame, or too long a one, as soon as its header is there.
    mutating func next() throws(StreamFault) -> StreamFrame? {
        if case (var frame, let content, let filled, let total)? = partial {
            guard filled == total else { return nil }
            partial = nil
            frame.content = [content]
            return frame
        }
        guard end - start >= StreamFrame.headerSize else {
            compact()
            return nil
        }
        let header = try header()
        let headStart = start + StreamFrame.headerSize
        let contentStart = headStart + header.headCount
        guard end >= contentStart else {
            compact()
            return nil
        }
        var frame = StreamFrame(kind: header.kind, head: Array(buffer[headStart..<contentStart]))
        if end - contentStart >= header.contentCount {
            let content = Array(buffer[contentStart..<contentStart + header.contentCount])
            frame.content = content.isEmpty ? [] : [content]
            start = contentStart + header.contentCount
            return frame
        }
        if contentStart + header.contentCount - start <= buffer.count / 2 {
            // Short: it is read together with what follows it.
            compact()
            return nil
        }
        let here = end - contentStart
        // More room is made as more comes: what is only announced costs nothing.
        var content = Array(buffer[contentStart..<end])
        Self.grow(&content, to: min(header.contentCount, Self.firstRoom))
        (start, end) = (0, 0)
        partial = (frame, content, here, header.contentCount)
        return nil
    }

    private func header() throws(StreamFault) -> StreamFrame.Header {
        let result: Result<StreamFrame.Header, StreamFault> = buffer.withUnsafeBytes { memory in
            do throws(StreamFault) {
                let bytes = UnsafeRawBufferPointer(rebasing: memory[start..<start + StreamFrame.headerSize])
                return .success(try StreamFrame.Header(bytes, limit: limit))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Moves what is left to the front, so that there is room behind it.
    private mutating func compact() {
        guard start > 0 else { return }
        buffer.replaceSubrange(0..<end - start, with: Array(buffer[start..<end]))
        (start, end) = (0, end - start)
    }
}
