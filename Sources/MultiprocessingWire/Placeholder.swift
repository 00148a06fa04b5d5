// Values on the wire.
