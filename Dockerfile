# The studio with the shipped model on a CPU: docker build -t resolute . && docker run -p 7860:7860 -v resolute:/data resolute
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 resolute && mkdir /data && chown resolute /data
WORKDIR /home/resolute/app

# For a smaller image give PyTorch's index of CPU builds: --build-arg TORCH_INDEX=...
ARG TORCH_INDEX=""
COPY requirements.txt .
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0 \
 && pip install --no-cache-dir -r requirements.txt

COPY --chown=resolute . .
USER resolute
ENV RESOLUTE_DATA=/data GRADIO_SERVER_NAME=0.0.0.0 HF_HOME=/data/hub
EXPOSE 7860
HEALTHCHECK --start-period=20s CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/healthz')"
CMD ["python", "app.py"]
