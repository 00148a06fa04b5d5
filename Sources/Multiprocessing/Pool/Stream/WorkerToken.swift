internal import MultiprocessingSystem
internal import SystemPackage

/// The secret of a pool and its workers: 256 random bits, new for each pool.
///
/// A worker proves with one half that it was told, the pool with the other half that it is the pool: neither does what a stranger
/// says. Whoever knows it can run code in every worker of the pool, so hand it on by standard input, an environment variable or a file
/// that only its owner can read, never as an argument of a program: those are shown to everybody.
///
/// Its ``description`` does not tell it; ``text`` does.
public struct WorkerToken: Hashable, Sendable, Codable, CustomStringConvertible {
    private let bytes: [UInt8]

    private static let size = 32
    /// The bytes of each half.
    static let proofSize = size / 2

    /// What a worker shows to its pool.
    var workerProof: [UInt8] { Array(bytes[..<Self.proofSize]) }
    /// What a pool shows to its workers.
    var poolProof: [UInt8] { Array(bytes[Self.proofSize...]) }

    /// A fresh one from the kernel's random numbers.
    ///
    /// - Throws: ``StreamError`` (`outOfResources`).
    public static func random() throws -> WorkerToken {
        do throws(Errno) {
            return WorkerToken(bytes: try ThisProcess.randomBytes(size))
        } catch {
            throw StreamError(.outOfResources, "There are no random numbers for a pool's token", errno: error)
        }
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The secret itself, as 64 hexadecimal digits.
    public var text: String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// Reads what ``text`` gives; nil if it is anything else.
    public init?(_ text: String) {
        let digits = Array(text.utf8)
        guard digits.count == Self.size * 2 else { return nil }
        var bytes: [UInt8] = []
        for place in stride(from: 0, to: digits.count, by: 2) {
            guard let high = Self.value(of: digits[place]), let low = Self.value(of: digits[place + 1]) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        self.bytes = bytes
    }

    private static func value(of digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: nil
        }
    }

    // A decoded one may come from anywhere.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let token = WorkerToken(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a pool's token")
        }
        self = token
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    public static func == (left: WorkerToken, right: WorkerToken) -> Bool {
        Secrets.areEqual(left.bytes, right.bytes)
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(bytes)
    }

    public var description: String { "WorkerToken(…)" }
}

extension WorkerToken: CustomReflectable {
    /// Nothing: not in a dump either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
