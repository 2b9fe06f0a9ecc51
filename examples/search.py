"""Ask a question: ``python examples/search.py [GATEWAY [QUESTION]]``; send something first, for example a chat."""

import sys

import httpx

gateway_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
question = " ".join(sys.argv[2:]) or "where is the parcel?"
answer = httpx.post(f"{gateway_url}/v1/search", json={"query": question, "subject_id": "dana", "k": 5}, timeout=30)
answer.raise_for_status()
for hit in answer.json()["hits"]:
    print(f"{hit['score']:.2f}  {hit['text']}")
    print(f"      {hit['source']}, {hit['age_s']:.0f} s ago, indexed after {hit['gap_s']:.2f} s")
