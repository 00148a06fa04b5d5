/// Frames that wait to be sent, and how much of the first one was.
///
/// A value that knows no socket. Contents are kept by reference: nothing is copied.
struct FrameQueue {
    private var frames: ArraySlice<[[UInt8]]> = []
    /// How many pieces of the first frame are gone, and how many bytes of the next one.
    private var piece = 0
    private var sent = 0

    var isEmpty: Bool { frames.isEmpty }

    mutating func append(_ frame: StreamFrame) {
        frames.append([frame.front] + frame.content)
    }

    /// Gives what is to be sent to `sink`, two pieces at a time, until it takes nothing or about so many bytes are gone.
    ///
    /// - Parameter sink: how many bytes it took, from the first piece on; 0 when it has no room.
    /// - Returns: how many bytes went.
    mutating func send<Failure: Error>(
        atMost limit: Int,
        _ sink: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) -> Int {
        var total = 0
        while total < limit, let pieces = frames.first {
            let next = piece + 1 < pieces.count ? pieces[piece + 1] : []
            let taken = try Self.offer(pieces[piece], from: sent, next, sink)
            if taken == 0 { break }
            total += taken
            sent += taken
            while piece < pieces.count, sent >= pieces[piece].count {
                sent -= pieces[piece].count
                piece += 1
            }
            if piece == pieces.count {
                // A slice keeps what it has given up as long as its memory lives.
                frames[frames.startIndex] = []
                frames.removeFirst()
                (piece, sent) = (0, 0)
            }
        }
        return total
    }

    private static func offer<Failure: Error>(
        _ first: [UInt8],
        from sent: Int,
        _ second: [UInt8],
        _ sink: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) -> Int {
        let result: Result<Int, Failure> = first.withUnsafeBytes { first in
            second.withUnsafeBytes { second in
                let rest = UnsafeRawBufferPointer(rebasing: first[sent...])
                do throws(Failure) {
                    let taken = try sink(rest, second)
                    precondition(taken >= 0 && taken <= rest.count + second.count)
                    return .success(taken)
                } catch {
                    return .failure(error)
                }
            }
        }
        return try result.get()
    }
}
