/// Makes the `lorem.txt` that the PEP's file test reads; the same text on every machine.
package enum Lorem {
    /// About 1 MiB.
    package static let standardLines = 15_000

    /// Text of so many lines of about 70 characters.
    package static func text(lines: Int) -> [UInt8] {
        var random = RandomOffsets(seed: 1)
        var text: [UInt8] = []
        text.reserveCapacity(lines * 80)
        for _ in 0..<lines {
            var length = 0
            while length < 66 {
                let word = words[random.next(below: words.count)].utf8
                if length > 0 { text.append(UInt8(ascii: " ")) }
                text.append(contentsOf: word)
                length += word.count + 1
            }
            text.append(UInt8(ascii: "\n"))
        }
        return text
    }

    private static let words = """
        lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore \
        magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea commodo \
        consequat duis aute irure in reprehenderit voluptate velit esse cillum eu fugiat nulla pariatur excepteur \
        sint occaecat cupidatat non proident sunt culpa qui officia deserunt mollit anim id est laborum
        """.split(separator: " ")
}
