"""From people's names to pictures on the web: names, image searches, downloads, removals.

There are two ways to speak HTTP. `client` asks a handful of known APIs one request at a time, and
wants whole JSON answers; `download` asks any number of strangers' servers at once, streams
pictures, and trusts no address or byte that it is given. Both say who asks (`contact`), wait as
long as they are told to by one clock (`clock`), and reach no machine that is not public
(`addresses`).
"""
