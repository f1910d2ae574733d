"""Ask a server many questions at once: `python ask_many.py URL`."""

import asyncio
import os
import sys

import onnxpress


async def main(url: str) -> None:
    """Prints how many were answered."""
    async with onnxpress.AsyncClient(url, token=os.environ.get("TOKEN")) as client:

        async def rent(size: int) -> float:
            answers = await client.infer("rents", {"size": [[size]], "rooms": [[2]], "district": [["harbour"]]})
            return float(answers["prediction"].item())

        rents = await asyncio.gather(*(rent(20 + number % 150) for number in range(1000)))
    print(f"{len(rents)} questions, from {min(rents):.0f} to {max(rents):.0f}")


asyncio.run(main(sys.argv[1]))
