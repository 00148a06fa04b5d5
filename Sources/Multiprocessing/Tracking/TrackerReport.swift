internal import MultiprocessingSystem

/// What processes tell their tracker. One packet each: kind (1 byte), device (8), inode (8, little-endian), the name.
enum TrackerReport: Equatable {
    /// Remove this when the process that says so is gone, and nobody else uses it.
    case watch(String, FileIdentity)
    /// It has no name any more.
    case forget(FileIdentity)
    /// The process that says so has done with it: remove it when nobody else uses it.
    case retire(FileIdentity)

    func encoded() -> [UInt8] {
        switch self {
        case .watch(let name, let identity): Self.encode(1, identity) + name.utf8
        case .forget(let identity): Self.encode(2, identity)
        case .retire(let identity): Self.encode(3, identity)
        }
    }

    private static func encode(_ kind: UInt8, _ identity: FileIdentity) -> [UInt8] {
        var bytes = [kind]
        for number in [identity.device, identity.inode] {
            withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
        }
        return bytes
    }

    /// Nil for bytes that are no report.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 17 else { return nil }
        func number(at offset: Int) -> UInt64 {
            bytes[offset..<(offset + 8)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        let identity = FileIdentity(device: number(at: 1), inode: number(at: 9))
        switch bytes[0] {
        case 1:
            guard let name = String(validating: bytes[17...], as: UTF8.self) else { return nil }
            self = .watch(name, identity)
        case 2: self = .forget(identity)
        case 3: self = .retire(identity)
        default: return nil
        }
    }

    // MARK: The greeting

    private static let version: UInt8 = 1

    /// What a tracker sends to whoever connects: its version and its process id.
    static func greeting(from pid: Int32) -> [UInt8] {
        [version] + withUnsafeBytes(of: pid.littleEndian) { Array($0) }
    }

    /// The process id in a greeting; nil for a tracker of another version.
    static func greetedProcess(_ bytes: [UInt8]) -> Int32? {
        guard bytes.count == 5, bytes[0] == version else { return nil }
        return bytes[1...].reversed().reduce(0) { $0 << 8 | Int32($1) }
    }
}
