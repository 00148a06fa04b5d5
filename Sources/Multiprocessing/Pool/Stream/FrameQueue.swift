/// Frames that wait to be sent, and how much of the first one was.
///
/// A value that knows no socket. Contents are kept by reference: nothing is copied.
struct FrameQueue {
    private var frames: ArraySlice<(front: [UInt8], content: [UInt8])> = []
    /// How many bytes of the first frame are gone.
    private var sent = 0

    var isEmpty: Bool { frames.isEmpty }
    var count: Int { frames.count }

    mutating func append(_ frame: StreamFrame) {
        frames.append((frame.front, frame.content))
    }

    /// Gives what is to be sent to `sink`, in two pieces, until it takes nothing or about so many bytes are gone.
    ///
    /// - Parameter sink: how many bytes it took, from the first piece on; 0 when it has no room.
    /// - Returns: how many bytes went.
    mutating func send<Failure: Error>(
        atMost limit: Int,
        _ sink: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) -> Int {
        var total = 0
        while total < limit, let (front, content) = frames.first {
            let taken = try Self.offer(front, content, from: sent, sink)
            if taken == 0 { break }
            total += taken
            sent += taken
            if sent == front.count + content.count {
                frames.removeFirst()
                sent = 0
            }
        }
        return total
    }

    private static func offer<Failure: Error>(
        _ front: [UInt8],
        _ content: [UInt8],
        from sent: Int,
        _ sink: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) -> Int {
        let result: Result<Int, Failure> = front.withUnsafeBytes { front in
            content.withUnsafeBytes { content in
                let first = UnsafeRawBufferPointer(rebasing: front[min(sent, front.count)...])
                let second = UnsafeRawBufferPointer(rebasing: content[max(0, sent - front.count)...])
                do throws(Failure) {
                    let taken = try sink(first, second)
                    precondition(taken >= 0 && taken <= first.count + second.count)
                    return .success(taken)
                } catch {
                    return .failure(error)
                }
            }
        }
        return try result.get()
    }
}
