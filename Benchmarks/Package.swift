// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "Benchmarks",
    dependencies: [
        .package(name: "swift-multiprocessing", path: ".."),
    ],
    targets: [
        .executableTarget(
            name: "codingbench",
            dependencies: [.product(name: "_MultiprocessingWire", package: "swift-multiprocessing")]
        ),
    ],
    swiftLanguageModes: [.v6]
)
